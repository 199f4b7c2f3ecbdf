"""Quantization to int8: after training, in training, and int8 convolutions for export."""
