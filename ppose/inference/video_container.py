"""The size that a video file states of itself, which shows whether it was cut off."""

from pathlib import Path

_RIFF_PLACEHOLDER = 0x7FFFFF00  # from here on: what is written before the size is known
_ISO_PARTS = (
    b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"mfra", b"free", b"skip", b"wide", b"uuid", b"sidx",
)  # fmt: skip
_EBML_HEADER, _EBML_SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_LONGEST_HEAD = 16


def stated_size(path: Path) -> int:
    """Bytes up to the end of the last part that begins in the file; 0 where nothing is stated.

    Read are AVI (RIFF), MP4 and MOV (ISO/IEC 14496-12, boxes), MKV and WebM (RFC 8794, elements). A whole
    file is as long as this, or longer; one that was cut off, in the pictures or behind them, is shorter.
    """
    actual, end = path.stat().st_size, 0
    with path.open("rb") as file:
        while end < actual:
            file.seek(end)
            size = _part_size(file.read(_LONGEST_HEAD))
            if not size:
                break
            end += size
    return end


def _part_size(head: bytes) -> int:
    """The size of a part with these first bytes, its head included; 0 where it is unknown."""
    if head[:4] == b"RIFF":
        size = int.from_bytes(head[4:8], "little")
        return 8 + size + size % 2 if 0 < size < _RIFF_PLACEHOLDER else 0
    if head[:4] in (_EBML_HEADER, _EBML_SEGMENT):
        return _element_size(head)
    if head[4:8] in _ISO_PARTS:
        size = int.from_bytes(head[:4], "big")
        return int.from_bytes(head[8:16], "big") if size == 1 else size  # 0: up to the end of the file
    return 0


def _element_size(head: bytes) -> int:
    """Of an EBML element: behind the identifier, zeros before the first 1 say how many bytes the size has."""
    width = 9 - head[4].bit_length() if len(head) > 4 else 9
    if width > 8 or len(head) < 4 + width:
        return 0
    mask = (1 << 7 * width) - 1
    size = int.from_bytes(head[4 : 4 + width], "big") & mask
    return 0 if size == mask else 4 + width + size  # all ones: unknown
