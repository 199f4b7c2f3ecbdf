"""Poses of more images than one process, or one machine, goes through: parts of a table, made whole, once."""
