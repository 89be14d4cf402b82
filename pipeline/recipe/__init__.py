"""Recipes: the schema, loading with line numbers, overrides, and the JSON Schema for editors."""

from pipeline.recipe.reading.load import LoadedRecipe, load_recipe

__all__ = ["LoadedRecipe", "load_recipe"]
