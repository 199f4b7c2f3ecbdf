"""From a trained network to files that other runtimes run: static graphs of Paddle's and ONNX."""
