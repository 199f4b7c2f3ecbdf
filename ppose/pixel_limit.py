"""How many pixels an image, or a frame of a video, may have: nothing larger is decoded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ppose.errors import DataError
from ppose.paths import show_name
from ppose.processor_settings import environment

MOST_PIXELS = 100_000_000  # by default: 300 MB decoded, where photos have up to 50 million
# Four bytes a pixel then stay below 2**31 bytes, beyond which OpenCV's warps count wrong.
LARGEST_LIMIT = 1 << 29
# OpenCV's own limit too, should a file hold more than its head says; it is read as OpenCV is imported.
_VARIABLE = "OPENCV_IO_MAX_IMAGE_PIXELS"


def max_pixels() -> int:
    """The limit on the pixels of one image: that of `limit_pixels`, of the environment, or 100 million."""
    value = os.environ.get(_VARIABLE, "")
    return min(int(value), LARGEST_LIMIT) if value.isdecimal() else MOST_PIXELS


@contextmanager
def limit_pixels(count: int) -> Iterator[None]:
    """Within it, the limit for this process and those that it starts; best before OpenCV is imported."""
    with environment(**{_VARIABLE: str(min(count, LARGEST_LIMIT))}):
        yield


def check_pixels(width: int, height: int, name: object) -> None:
    """Raise DataError where an image or a frame of this size is not to be decoded; ``name`` is its file's."""
    if width * height > max_pixels():
        raise DataError(
            f"{show_name(str(name))} has {width} x {height} pixels, which is more than the "
            f"{max_pixels():,} of --max_pixels"
        )
