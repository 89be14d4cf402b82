"""What the classes of a data set are called: their own names, those of libraries, and the words of WordNet."""
