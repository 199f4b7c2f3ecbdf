"""Quantization to eight bits: after training, in training, and the int8 forms of convolutions for export."""
