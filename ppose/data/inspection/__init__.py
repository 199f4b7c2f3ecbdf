"""Finds what is wrong or odd in a dataset before training."""
