"""The commands, one file each; what is heavy is imported inside them, so that their help is fast."""
