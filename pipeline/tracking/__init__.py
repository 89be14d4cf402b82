"""Trackers: TensorBoard, MLflow and Weights & Biases, sent what `metrics.jsonl` and the stages have."""
