"""Weights files: found or downloaded, read, and loaded into a network; imported without Paddle."""
