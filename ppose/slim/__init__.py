"""Smaller and quicker networks: quantization to eight bits, and distillation."""
