"""Distillation: a trained network teaches another one."""
