"""Decodes only the part of a JPEG that a warp needs, which is faster."""

import re
from typing import Literal

import numpy as np
import simplejpeg

START, SCAN, END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"  # markers: of the file, of compressed data
_FRAMES = (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2")  # baseline, extended and progressive
# All kinds of frames, and the progressive ones; other segments have markers in between.
_ALL_FRAMES = tuple(bytes((0xFF, kind)) for kind in range(0xC0, 0xD0) if kind not in (0xC4, 0xC8, 0xCC))
_PROGRESSIVE = tuple(bytes((0xFF, kind)) for kind in (0xC2, 0xC6, 0xCA, 0xCE))
# Markers without a segment: a stuffed byte, TEM, restarts, start and end.
_ALONE = (b"\xff\x00", b"\xff\x01", *(bytes((0xFF, kind)) for kind in range(0xD0, 0xDA)))
_FILLING = re.compile(rb"\xff+(?=\xff)")  # between segments, as much as a file likes
_MOST_SEGMENTS = 20_000  # of a file whose compressed data are not found in them
_EXIF, _ORIENTATION = b"\xff\xe1", 0x0112  # the marker of EXIF data, and the tag in it
QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that change width and height
_CHANNELS = (1, 3)  # grey and colour; four are CMYK
REDUCTIONS = (1, 2, 4, 8)
# The colour of the last row is interpolated with the row below, so a few more rows are decoded.
_MARGIN = 4


def decode_part(data: bytes, rows: int, reduction: int) -> np.ndarray | None:
    """Decode the first ``rows`` rows of a JPEG, at least, to 1, 1/2, 1/4 or 1/8 of its size.

    Returns (h, ceil(W / r), 4) uint8, RGB and an unused channel (four bytes per pixel are faster to warp), in
    the stored orientation; None for a JPEG that only `read_image` can read, such as CMYK, or none at all.

    A decoder reads rows in order and stops at the height in the header, so the header gets a smaller one: a
    crop of COCO ends at 3/4 of its picture on average. For a reduced image the decoder drops the high
    frequencies of each 8x8 block; a pixel stands for r x r pixels, and the center of pixel i lies at
    r i + (r - 1) / 2 in the full image, in both axes.
    """
    frame = find_segment(data, _FRAMES)
    if data[frame : frame + 2] not in _FRAMES or data[frame + 9] not in _CHANNELS:
        return None
    width, height = find_size(data)
    if rows + _MARGIN < height:
        height = max(rows, 1) + _MARGIN
        data = b"".join((data[: frame + 5], height.to_bytes(2, "big"), memoryview(data)[frame + 7 :]))
    try:
        # Not strict: data after the last row is no error here.
        return simplejpeg.decode_jpeg(
            data,
            "RGBX",
            min_height=-(-height // reduction),
            min_width=-(-width // reduction),
            min_factor=reduction,
            strict=False,
        )
    except ValueError:
        return None


def is_upright(data: bytes, size: tuple[int, int]) -> bool:
    """Whether a file is a JPEG without EXIF rotation, and has this width and height (0: any)."""
    if not data.startswith(START) or find_orientation(data) != 1:
        return False
    return not all(size) or find_size(data) == size


def find_size(data: bytes) -> tuple[int, int]:
    """Width and height of a JPEG, as stored; (0, 0) if it states none."""
    frame = find_segment(data, _ALL_FRAMES)
    if data[frame : frame + 2] not in _ALL_FRAMES:
        return 0, 0
    height, width = (int.from_bytes(data[frame + at : frame + at + 2], "big") for at in (5, 7))
    return width, height


def count_scans(data: bytes) -> int:
    """About how many passes over all pixels a JPEG's decoding takes: one, or one per scan if progressive.

    Counts the markers of scans, including a thumbnail's; compressed data has no markers.
    """
    frame = find_segment(data, _ALL_FRAMES)
    scan = find_segment(data, (SCAN,), frame)
    is_progressive = data[frame : frame + 2] in _PROGRESSIVE
    # Separate colour channels take a scan each, or more.
    is_split = data[scan + 4 : scan + 5] < data[frame + 9 : frame + 10]
    return data.count(SCAN) if is_progressive or is_split else 1


def find_orientation(data: bytes) -> int:
    """The EXIF orientation of a JPEG, 1 to 8; 1 if it has none, 0 if its EXIF data are broken.

    Exif 2.3: a TIFF header, whose first directory has entries of 12 bytes: tag, type, count, value.
    """
    segment = find_segment(data, (_EXIF,))
    if data[segment : segment + 2] != _EXIF:
        return 1
    tiff = data[segment + 10 : segment + 2 + int.from_bytes(data[segment + 2 : segment + 4], "big")]
    if data[segment + 4 : segment + 8] != b"Exif":
        return 0  # for instance XMP, with the EXIF data after it
    order: Literal["little", "big"] = "little" if tiff.startswith(b"II") else "big"
    first = int.from_bytes(tiff[4:8], order)
    for number in range(int.from_bytes(tiff[first : first + 2], order)):
        entry = tiff[first + 2 + 12 * number :][:12]
        if int.from_bytes(entry[:2], order) == _ORIENTATION:
            return int.from_bytes(entry[8:10], order)
    return 1


def find_segment(data: bytes, markers: tuple[bytes, ...], position: int = len(START)) -> int:
    """The start of a JPEG's first segment with one of these markers; without one, the end of its segments.

    Steps by the segments' lengths, since their content (thumbnails) may look like markers. Skips bytes
    between segments, as decoders do, but gives up after many segments. ``position`` is the start of the first
    segment to examine.
    """
    for _ in range(_MOST_SEGMENTS):
        position = data.find(b"\xff", position)
        if position < 0:
            break
        marker = data[position : position + 2]
        if marker == SCAN or marker in markers:
            return position
        if filling := _FILLING.match(data, position):
            position = filling.end()
        elif marker in _ALONE:
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return len(data)
