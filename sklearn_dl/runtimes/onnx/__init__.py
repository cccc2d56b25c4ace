"""ONNX graphs in ONNX Runtime."""
