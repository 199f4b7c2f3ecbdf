"""Exports trained networks as static graphs for other runtimes: Paddle's formats and ONNX."""
