"""Reads archives of arrays (.npz, PyTorch's .pth) from untrusted sources, and checks all that they state.

Members are stored, not compressed, as numpy and PyTorch write them: a small file cannot unfold into a large
one, and arrays are views of the file's bytes.
"""

import io
import math
import pickle
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

# What reading a damaged file may raise. numpy reads the header of an array as a Python literal, so errors of
# the Python parser are among them.
DAMAGED = (
    ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, RecursionError, RuntimeError,
    SyntaxError, TypeError, ValueError, pickle.UnpicklingError, struct.error, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip

_MOST_DIRECTORY = 4 << 20  # bytes of the list of members: some 40,000
_MOST_DIMENSIONS = 32
_LARGEST = 2**63 - 1


class _Bytes(io.BytesIO):
    """A file's content; a single read is limited to the largest allowed member list."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._size = len(content)

    def read(self, size: int | None = -1, /) -> bytes:
        rest = self._size - self.tell()
        if min(rest if size is None or size < 0 else size, rest) > _MOST_DIRECTORY:
            raise ValueError("a zip archive with too many members")
        return super().read(size)


class StoredZip:
    """The members of a zip archive by name, as views; each is checked when it is taken.

    Raises one of DAMAGED if the file is no zip archive, or is compressed.
    """

    def __init__(self, content: bytes) -> None:
        with zipfile.ZipFile(_Bytes(content)) as archive:
            infos = archive.infolist()
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos) or (
            sum(info.file_size for info in infos) > len(content)
        ):
            raise ValueError(
                "a compressed zip archive, which neither numpy nor PyTorch writes; unpack it first"
            )
        self._content = memoryview(content)
        self._members = {info.filename: info for info in infos}

    def __iter__(self) -> Any:
        return iter(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __getitem__(self, name: str) -> memoryview:
        info = self._members[name]
        start = info.header_offset
        header = bytes(self._content[start : start + 30])
        if header[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile("a member that is not where the member list says")
        start += 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        raw = self._content[start : start + info.file_size]
        if zlib.crc32(raw) != info.CRC:
            raise zipfile.BadZipFile("a member without its checksum")
        return raw


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a numpy archive by name: numbers and booleans, read-only views of its bytes.

    Raises OSError if there is no such file, and one of DAMAGED if it is no such archive.
    """
    archive = StoredZip(Path(path).read_bytes())
    return {name.removesuffix(".npy"): _read_array(archive[name]) for name in archive}


def _read_array(raw: memoryview) -> np.ndarray:
    head = io.BytesIO(bytes(raw[:12_000]))  # numpy reads headers of up to 10,000 bytes
    version = np.lib.format.read_magic(head)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, is_fortran, dtype = read_header[version](head)
    if dtype.kind not in "biuf":
        raise ValueError("an array of something other than numbers")
    data = raw[head.tell() :]
    if count_elements(shape) * dtype.itemsize != len(data):
        raise EOFError(f"{len(data):,} bytes for another number of elements")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")


def count_elements(shape: Any) -> int:
    """The product of a shape that a file states; ValueError if it is no shape."""
    if len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"a shape of {len(shape):,} dimensions")
    for number in shape:
        if type(number) is not int or not 0 <= number <= _LARGEST:
            raise ValueError("a shape with something other than whole numbers")
    return math.prod(shape)
