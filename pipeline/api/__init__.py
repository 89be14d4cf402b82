"""What a notebook calls and the commands are made of: each function does one command's work and returns what it found.

The names that are public are those of `pipeline.__all__`.
"""
