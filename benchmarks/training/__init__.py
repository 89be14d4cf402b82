"""What distillation costs: ratios of a training by this pipeline to the same training by others."""
