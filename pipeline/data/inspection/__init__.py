"""What is in a data set, looked at before it is learnt from."""
