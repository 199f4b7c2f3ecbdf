"""Converts decoded pictures to upright 8-bit images."""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter

from ppose.pixel_limit import check_pixels, max_pixels

_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # PQ and HLG


class ToImage:
    """Converts pictures to (H, W, 3) uint8, RGB, upright; threads may share it.

    A display matrix is read once for each rotation: a picture whose side data is read belongs to a cycle of
    references (PyAV 18), and keeps its memory until Python's garbage collection.
    """

    def __init__(self) -> None:
        self._to_standard_range = _StandardRange()
        self._matrices: dict[int, list[int] | None] = {}  # by rotation in degrees

    def __call__(self, picture: Any) -> np.ndarray:
        """The image of a picture."""
        if picture.color_trc in _HDR:
            image = self._to_standard_range(picture)
        else:
            image = picture.to_ndarray(format="rgb24", threads=1)
        rotation = picture.rotation
        if rotation not in self._matrices:
            self._matrices[rotation] = _matrix_of(picture)
        return turn_upright(image, self._matrices[rotation])


class _StandardRange:
    """Maps HDR to standard range, one frame at a time; keeps the tables, which take FFmpeg seconds."""

    def __init__(self) -> None:
        self._reformatter, self._one = VideoReformatter(), Lock()

    def __call__(self, picture: Any) -> np.ndarray:
        with self._one:
            done = self._reformatter.reformat(
                picture,
                format="rgb24",
                dst_color_trc=ColorTrc.BT709,
                dst_color_primaries=ColorPrimaries.BT709,
            )
            return done.to_ndarray()


def limit_decoder(context: Any, name: object) -> None:
    """Limit a decoder's pictures to the allowed pixels; DataError if it states larger ones."""
    check_pixels(context.width, context.height, name)
    context.options = {"max_pixels": str(max_pixels())}


def turn_upright(image: np.ndarray, matrix: Sequence[int] | None) -> np.ndarray:
    """Turn and mirror an image as ``matrix`` says, rounded to quarter turns; None leaves it.

    ``matrix`` (9,) is a b u, c d v, x y w: a pixel at (x, y) is shown at (a x + c y, b x + d y) (ISO/IEC
    14496-12, 8.3.2).
    """
    if matrix is None:
        return image
    a, b, _, c, d, *_ = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _matrix_of(picture: Any) -> list[int] | None:
    data = picture.side_data.get(Type.DISPLAYMATRIX)
    return None if data is None else np.frombuffer(data, np.int32).tolist()
