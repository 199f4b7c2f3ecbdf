"""Reads weights files of Paddle, PyTorch and safetensors as numpy arrays, without running code from them.

Sizes, strides and offsets are checked against the bytes that are really there before an array is made.
"""

import io
import math
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from ppose.errors import CheckpointError
from ppose.weights.restricted_pickle import (
    BFLOAT16,
    Array,
    ArrayUnpickler,
    LegacyUnpickler,
    Storage,
    Tensor,
    array_from_bytes,
    itemsize,
    widen_bfloat16,
)

# Written first by torch.save before PyTorch 1.6 (torch/serialization.py).
_TORCH_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# Written by paddle.save where one array has 2**30 bytes or more (paddle/framework/io_utils.py).
_PADDLE_SLICES = "UnpackBigParamInfor@@"
# Where publishers put the state dict: mmpose's and HRNet's checkpoint.pth, DETR-like files.
_WRAPPERS = ("state_dict", "model")

_SAFETENSORS_HEADER_LIMIT = 100_000_000  # of the format: github.com/huggingface/safetensors
_SAFETENSORS = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": BFLOAT16,
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U64": "u8",
    "U32": "u4",
    "U16": "u2",
    "U8": "u1",
    "BOOL": "b1",
}

# What unpickling may raise on bytes that are no pickle, or only a part of one.
_DAMAGE = (
    pickle.UnpicklingError, EOFError, AttributeError, ImportError, LookupError, TypeError, ValueError,
    OverflowError, MemoryError, RuntimeError, struct.error, zipfile.BadZipFile,
)  # fmt: skip


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read the state dict of a weights file as ``{key: array}``, in the file's order and under its keys.

    The format is found from the content, not from the name: pickles of ``paddle.save``, files of
    ``torch.save`` (the zip format and the one before PyTorch 1.6), safetensors. The state dict is at the top
    or under ``state_dict`` or ``model``; entries that are no arrays are skipped. bfloat16 becomes float32
    (Paddle stores it as uint16); other dtypes are kept. Arrays may be read-only views that share memory.

    Raises CheckpointError, with the file and its size, for anything that cannot be read, and for a pickle
    that names anything but arrays and tensors; nothing from the file is ever run.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            try:
                return _read(file, size)
            except CheckpointError as error:
                raise CheckpointError(f"{path} ({size:,} bytes) {error}") from None
            except _DAMAGE as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise CheckpointError(
                    f"{path} ({size:,} bytes) is truncated or damaged ({reason}); download or copy it again"
                ) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error


def _read(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    head = file.read(512)
    file.seek(0)
    if head[:4] == b"PK\x03\x04":
        return _read_torch_zip(file, size)
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return _read_pickle(file, size)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _SAFETENSORS_HEADER_LIMIT:
        return _read_safetensors(file, size)
    raise CheckpointError(f"is no weights file: it looks like {_describe(head)}")


def _describe(head: bytes) -> str:
    text = head.lstrip().lower()
    if not text:
        return "an empty file; download or copy it again"
    if text.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer; fetch the file itself with 'git lfs pull'"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page: was the download blocked?"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it, or save the weights again with PyTorch 1.6 or newer"
    if head.startswith(b"\x1f\x8b"):
        return "a gzip archive; unpack it first"
    if head.startswith(bytes(16)):
        return "parameters of an exported graph (.pdiparams), which have no names; give the .pdparams file"
    if all(byte in b"\t\n\r" or byte >= 0x20 for byte in head):
        return f"a text file that starts with {head[:40].decode('utf-8', 'replace')!r}"
    return f"an unknown format that starts with the bytes {head[:8].hex(' ')}"


# --- from the pickle's values to arrays ----------------------------------------------------------------


class _ReadStorage(Protocol):
    def __call__(self, storage: Storage) -> np.ndarray: ...


def _strided(flat: np.ndarray, tensor: Tensor) -> np.ndarray:
    """A view of the storage, after a check that every element lies within it."""
    _, offset, size, stride = tensor
    numbers = (offset, *size, *stride)
    if not all(isinstance(number, int) and number >= 0 for number in numbers) or len(size) != len(stride):
        raise ValueError(f"a tensor of size {size}, stride {stride}, offset {offset}")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # A stride of 0 would let a few bytes become any number of elements.
    if count > flat.size or (count and last >= flat.size):
        raise ValueError(f"a tensor of size {size}, stride {stride} beyond its {flat.size:,} elements")
    strides = [step * flat.itemsize for step in stride]
    start = flat[offset:] if count else flat[:0]
    return np.lib.stride_tricks.as_strided(start, size, strides, writeable=False)


def _collect(content: object, read_storage: _ReadStorage | None = None) -> dict[str, np.ndarray]:
    """The arrays of the state dict within an unpickled object."""
    if not isinstance(content, dict):
        raise CheckpointError(f"holds no state dict but a {type(content).__name__.lstrip('_')}")
    state: Mapping = content
    for name in _WRAPPERS:
        if isinstance(content.get(name), dict):
            state = content[name]
            break
    arrays: dict[str, np.ndarray] = {}
    storages: dict[Storage, np.ndarray] = {}
    for key, value in state.items():
        if not isinstance(value, Tensor) and isinstance(value, tuple) and len(value) == 2:
            value = value[1]  # paddle: (the tensor's inner name, array)
        if isinstance(value, Array):
            # Paddle has no numpy type for bfloat16, and no weights of its own are uint16.
            array = value.array
            arrays[str(key)] = widen_bfloat16(array) if array.dtype == np.uint16 else array
        elif isinstance(value, Tensor) and read_storage is not None:
            if value.storage not in storages:
                storages[value.storage] = read_storage(value.storage)
            arrays[str(key)] = _strided(storages[value.storage], value)
    _join_slices(arrays, state.get(_PADDLE_SLICES))
    if not arrays:
        keys = ", ".join(repr(key) for key in list(state)[:5])
        raise CheckpointError(f"holds no arrays; its keys are {keys or 'none'}")
    return arrays


def _join_slices(arrays: dict[str, np.ndarray], table: dict[str, dict] | None) -> None:
    for key, entry in (table or {}).items():
        parts = [arrays.pop(name) for name in entry["slices"]]
        arrays[key] = np.concatenate(parts).reshape(entry["OriginShape"])


# --- the formats ---------------------------------------------------------------------------------------


def _read_pickle(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    first = ArrayUnpickler(file).load()
    if isinstance(first, int) and first == _TORCH_LEGACY_MAGIC:
        return _read_torch_legacy(file, size)
    return _collect(first)


def _read_torch_legacy(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """torch.save before PyTorch 1.6: magic, version, system, content, storage keys, then the storages."""
    ArrayUnpickler(file).load()
    if not ArrayUnpickler(file).load().get("little_endian", True):
        raise CheckpointError("was written on a big-endian machine; save it again on another")
    unpickler = LegacyUnpickler(file)
    content = unpickler.load()
    starts: dict[str, int] = {}
    for key in ArrayUnpickler(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        starts[key] = file.tell()
        end = starts[key] + count * itemsize(unpickler.codes[key])
        if not starts[key] <= end <= size:
            raise EOFError(f"storage {key} ends at byte {end:,}")
        file.seek(end)

    def read_storage(storage: Storage) -> np.ndarray:
        file.seek(starts[storage.key])
        count = min(storage.count, size)  # the announced count is not trusted with memory
        return array_from_bytes(file.read(count * itemsize(storage.code)), storage.code, storage.count)

    return _collect(content, read_storage)


def _read_torch_zip(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """torch.save since PyTorch 1.6: an archive of ``<name>/data.pkl`` and ``<name>/data/<key>``, stored."""
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in members if name.split("/")[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise CheckpointError("is a zip archive, but not one of torch.save; unpack it first")
        # PyTorch never compresses: a small file cannot unfold into a large one.
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()) or (
            sum(info.file_size for info in archive.infolist()) > size
        ):
            raise CheckpointError(
                "is a compressed zip archive, which torch.save never writes; unpack it first"
            )
        prefix = pickles[0].removesuffix("data.pkl")
        byteorder = archive.read(f"{prefix}byteorder") if f"{prefix}byteorder" in members else b"little"
        if byteorder != b"little":
            raise CheckpointError("was written on a big-endian machine; save it again on another")

        def read_storage(storage: Storage) -> np.ndarray:
            raw = archive.read(f"{prefix}data/{storage.key}")
            return array_from_bytes(raw, storage.code, storage.count)

        return _collect(ArrayUnpickler(io.BytesIO(archive.read(pickles[0]))).load(), read_storage)


def _read_safetensors(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    import safetensors

    (header,) = struct.unpack("<Q", file.read(8))
    if header > size - 8:
        raise EOFError(f"a safetensors header of {header:,} bytes")
    file.seek(0)
    try:
        entries = safetensors.deserialize(file.read())
    except safetensors.SafetensorError as error:
        raise ValueError(f"safetensors: {error}") from error
    arrays = {}
    for key, entry in entries:
        code = _SAFETENSORS.get(entry["dtype"])
        if code is None:  # complex numbers, floats of 8 bits and less
            raise CheckpointError(f"holds '{key}' as {entry['dtype']}, which no network here uses")
        flat = array_from_bytes(entry["data"], code, math.prod(entry["shape"]))
        arrays[key] = flat.reshape(entry["shape"])
    return arrays
