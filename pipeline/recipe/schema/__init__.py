"""The keys of a recipe, a file a section, with types, bounds and descriptions."""
