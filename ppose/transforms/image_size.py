"""Reads the size that an image file states from its first bytes, without decoding."""

import re
import struct
from collections.abc import Callable, Iterator

from ppose.transforms import jpeg

Size = tuple[int, int]  # width, height

ISO_START = b"ftyp"  # of ISO files such as HEIC and AVIF, after four bytes of length
_JP2_START = b"\x00\x00\x00\x0cjP  "
_CODESTREAM = b"\xff\x4f\xff\x51"  # of JPEG 2000: start marker, and marker of the size segment
_MOST_BOXES = 10_000
# Netpbm's: a letter and a number, then width and height between blanks and comments.
_BLANK = rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])+"
_NETPBM = re.compile(rb"P[1-6]" + _BLANK + rb"(\d{1,9})" + _BLANK + rb"(\d{1,9})")
_NETPBM_HEAD = 4096


def find_stated_size(data: bytes) -> Size | None:
    """Width and height of an image as stored; None if the content is of no known format.

    The formats are JPEG, PNG, BMP, WebP, TIFF, GIF, JPEG 2000, Netpbm, AVIF and HEIC. For an ISO file (the
    last two) it is the largest width and the largest height of all its images.
    """
    find = next((find for start, find in _FORMATS if data.startswith(start)), None)
    if find is None and data[4:8] == ISO_START:
        find = _find_iso
    try:
        size = None if find is None else find(data)
    except (struct.error, LookupError):  # shorter than its header
        return None
    return size if size is not None and min(size) > 0 else None


def _find_png(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _find_gif(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _find_bmp(data: bytes) -> Size:
    is_old = struct.unpack_from("<I", data, 14)[0] == 12  # OS/2's
    width, height = struct.unpack_from("<HH" if is_old else "<ii", data, 18)
    return width, abs(height)  # below 0: rows from the top


def _find_webp(data: bytes) -> Size | None:
    if data[8:12] != b"WEBP":
        return None
    if data[12:16] == b"VP8X":
        extents = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        width, height = (1 + extent for extent in extents)
    elif data[12:16] == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif data[12:16] == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        return None
    return width, height


def _find_tiff(data: bytes) -> Size:
    """The size of the first picture, or of its tiles if larger (TIFF 6.0, and BigTIFF)."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = data[2:4] in (b"+\x00", b"\x00+")
    count, length, number, value_at = ("Q", 20, "Q", 12) if is_big else ("H", 12, "I", 8)
    start = struct.unpack_from(order + number, data, 8 if is_big else 4)[0]
    entries = struct.unpack_from(order + count, data, start)[0]
    start += struct.calcsize(count)
    sides = {}
    for at in range(start, start + length * min(entries, _MOST_BOXES), length):
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in (256, 257, 322, 323):  # width and height of the picture, of a tile
            kinds = {3: "H", 4: "I", 16: "Q"}
            sides[tag] = struct.unpack_from(order + kinds[kind], data, at + value_at)[0]
    return max(sides[256], sides.get(322, 0)), max(sides[257], sides.get(323, 0))


def _find_netpbm(data: bytes) -> Size | None:
    found = _NETPBM.match(data[:_NETPBM_HEAD])
    return None if found is None else (int(found[1]), int(found[2]))


def _find_jp2(data: bytes) -> Size | None:
    for kind, start, _ in _iter_boxes(data, 0, len(data)):
        if kind == b"jp2c":
            return _find_codestream(data, start)
    return None


def _find_codestream(data: bytes, start: int = 0) -> Size | None:
    """ISO/IEC 15444-1, A.5.1: the reference grid, and the picture's place in it."""
    if not data.startswith(_CODESTREAM, start):
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    return right - left, bottom - top


def _find_iso(data: bytes) -> Size | None:
    """ISO/IEC 23008-12: meta holds iprp, which holds ipco, which holds an ispe for each size."""
    places = [(0, len(data))]
    for name, skipped in ((b"meta", 4), (b"iprp", 0), (b"ipco", 0)):
        places = [
            (start + skipped, end)
            for place in places
            for kind, start, end in _iter_boxes(data, *place)
            if kind == name
        ]
    sizes = [
        struct.unpack_from(">II", data, start + 4)
        for place in places
        for kind, start, _ in _iter_boxes(data, *place)
        if kind == b"ispe"
    ]
    return (max(size[0] for size in sizes), max(size[1] for size in sizes)) if sizes else None


def _iter_boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each box between two places (ISO/IEC 14496-12)."""
    for _ in range(_MOST_BOXES):
        if end - start < 8:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        stop = end if size == 0 else min(start + size, end)
        if stop < start + head:
            return
        yield kind, start + head, stop
        start = stop


_FORMATS: tuple[tuple[bytes, Callable[[bytes], Size | None]], ...] = (
    (jpeg.START, jpeg.find_size),
    (b"\x89PNG", _find_png),
    (b"RIFF", _find_webp),
    (b"BM", _find_bmp),
    (b"GIF8", _find_gif),
    *((start, _find_tiff) for start in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")),
    *((b"P%d" % kind, _find_netpbm) for kind in range(1, 7)),
    (_JP2_START, _find_jp2),
    (_CODESTREAM, _find_codestream),
)
