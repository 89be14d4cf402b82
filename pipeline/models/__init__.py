"""Teachers and students: networks by name, their weights, and what is tapped of them."""
