"""Reads and writes label files of other tools and datasets, via the table of people."""

from ppose.formats.labels import LOSSES, Labels, find_losses, make_labels
from ppose.formats.table import FORMATS, Format, find_format, read_labels

__all__ = [
    "FORMATS",
    "LOSSES",
    "Format",
    "Labels",
    "find_format",
    "find_losses",
    "make_labels",
    "read_labels",
]
