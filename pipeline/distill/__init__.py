"""Distillation: the methods, their losses and the registry that names them."""
