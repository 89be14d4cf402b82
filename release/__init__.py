"""What a release is made of: built, looked into, installed where nothing else is, and tagged."""
