"""The pixel limit of images and video frames: nothing larger is decoded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ppose.errors import DataError
from ppose.paths import show_name
from ppose.processor_settings import environment

MOST_PIXELS = 100_000_000  # default: 300 MB decoded; photos have up to 50 million
# Four bytes per pixel then stay below 2**31 bytes, above which OpenCV's warps overflow.
LARGEST_LIMIT = 1 << 29
# Also set OpenCV's own limit, in case a file holds more than its header says; OpenCV reads it at import.
_VARIABLE = "OPENCV_IO_MAX_IMAGE_PIXELS"


def max_pixels() -> int:
    """The pixel limit of one image: from `limit_pixels`, the environment, or the default of 100 million."""
    value = os.environ.get(_VARIABLE, "")
    return min(int(value), LARGEST_LIMIT) if value.isdecimal() else MOST_PIXELS


@contextmanager
def limit_pixels(count: int) -> Iterator[None]:
    """Context with this limit for the process and its children; enter it before OpenCV is imported."""
    with environment(**{_VARIABLE: str(min(count, LARGEST_LIMIT))}):
        yield


def check_pixels(width: int, height: int, name: object) -> None:
    """Raise DataError if an image or a frame of this size is too large; ``name`` is its file's."""
    if width * height > max_pixels():
        raise DataError(
            f"{show_name(str(name))} has {width} x {height} pixels, more than the "
            f"{max_pixels():,} of --max_pixels"
        )
