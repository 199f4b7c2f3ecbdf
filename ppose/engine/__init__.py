"""Runs networks: training, evaluation, inference on images, checkpoints, several processes."""
