"""Recipes: the schema, loading with line numbers, overrides, and the JSON Schema for editors."""
