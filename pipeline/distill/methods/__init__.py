"""One distillation method a file; `pipeline.distill.registry` names them."""
