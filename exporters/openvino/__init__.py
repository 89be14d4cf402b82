"""OpenVINO IR: made from a proved ONNX file, brought into one form, and read again without OpenVINO.

Nothing here imports OpenVINO before a file is made or run.
"""
