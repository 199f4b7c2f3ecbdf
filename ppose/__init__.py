"""ppose: 2D human pose with PaddlePaddle, from a config to a deployed model."""

__version__ = "0.1.0"
