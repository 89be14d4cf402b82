"""A verified bundle behind HTTP: the Open Inference Protocol v2, and `POST /predict` for image files.

FastAPI routes on a server of our own; docs/serving.md says why, and what each limit is for. Needs the extra `serve`;
torch and onnx are never imported. `exporters.serving.server.serve` starts it.
"""
