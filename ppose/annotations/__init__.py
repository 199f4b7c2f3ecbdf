"""Reads annotation files of all dialects into one table of people."""

from ppose.annotations.ids import match_key
from ppose.annotations.people import Annotations, Images, People
from ppose.annotations.reader import PERSON, read_annotations, read_images

__all__ = ["PERSON", "Annotations", "Images", "People", "match_key", "read_annotations", "read_images"]
