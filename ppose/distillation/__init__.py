"""Distillation: a trained network, the teacher, guides the training of another one."""
