"""From YAML files and `--set` to a checked recipe, or to all mistakes at once."""
