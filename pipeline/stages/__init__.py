"""From files to files: one file a stage."""
