"""Views of an image that carry visual priors: settings and code of each kind, and all views of a recipe at once."""
