"""Reads weights files of Paddle, PyTorch and safetensors as numpy arrays, without running code from them.

Nothing that a file states is trusted: arrays are views of its bytes, each is copied at most once, and reading
takes at most three times the file's size plus 100 MB.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppose.archives import DAMAGED, StoredZip, count_elements
from ppose.errors import CheckpointError
from ppose.paths import show_name, show_text
from ppose.weights.restricted_pickle import (
    Array,
    ArrayPickles,
    Storage,
    Tensor,
    array_from_bytes,
    itemsize,
    widen_bfloat16,
)
from ppose.weights.safetensors_file import HEADER_LIMIT, read_safetensors

# The first bytes of torch.save before PyTorch 1.6 (torch/serialization.py).
_TORCH_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# Written by paddle.save if an array has 2**30 bytes or more (paddle/framework/io_utils.py).
_PADDLE_SLICES = "UnpackBigParamInfor@@"
# Keys under which publishers put the state dict: mmpose's and HRNet's checkpoint.pth, DETR-like files.
_WRAPPERS = ("state_dict", "model")


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read the state dict of a weights file as ``{key: array}``, in the file's order and under its keys.

    The content, not the name, determines the format: pickles of ``paddle.save``, files of ``torch.save`` (the
    zip format and the one before PyTorch 1.6), safetensors. The state dict is at the top or under
    ``state_dict`` or ``model``; entries that are no arrays are skipped. bfloat16 becomes float32 (Paddle
    stores it as uint16); other dtypes stay. Arrays may be read-only views that share memory.

    Raises CheckpointError, with the file and its size, for anything unreadable, for a pickle that names
    anything but arrays and tensors, and for float64 beyond float32; never runs anything from the file.
    """
    path = Path(path)
    name = show_name(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise CheckpointError(f"{name} is a pipe or device, not a file")
    try:
        content = path.read_bytes()
    except (OSError, MemoryError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error) or "it is larger than this machine's memory"
        raise CheckpointError(f"{name} cannot be read: {reason}") from error
    try:
        arrays = _read(content)
        _check_range(arrays)
        return arrays
    except CheckpointError as error:
        raise CheckpointError(f"{name} ({len(content):,} bytes) {error}") from None
    except DAMAGED as error:
        reason = show_text(str(error)) or type(error).__name__
        raise CheckpointError(
            f"{name} ({len(content):,} bytes) is truncated or damaged ({reason}); download or copy it again"
        ) from error


def _read(content: bytes) -> dict[str, np.ndarray]:
    if content[:4] == b"PK\x03\x04":
        if content[30 : 30 + int.from_bytes(content[26:28], "little")].endswith(b".npy"):
            raise CheckpointError(f"is no weights file: it looks like {_NUMPY}")
        return _read_torch_zip(content)
    if content[:1] == b"\x80" and content[1:2] <= b"\x05":
        return _read_pickle(content)
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= HEADER_LIMIT:
        return read_safetensors(content)
    raise CheckpointError(f"is no weights file: it looks like {_describe(content[:512], content[-8:])}")


def _check_range(arrays: Mapping[str, np.ndarray]) -> None:
    for key, array in arrays.items():
        if array.dtype == np.float64 and array.size:
            for largest in (float(array.max()), -float(array.min())):
                if float(np.finfo(np.float32).max) < largest < math.inf:
                    raise CheckpointError(
                        f"holds {largest:.3g} in '{show_text(key)}', too large for float32: no network here "
                        "computes in float64"
                    )


_NUMPY = "arrays of numpy, such as a run's training state (.npz); give the run's .pdparams file"
_TABLE_END = bytes.fromhex("57fb808b247547db")  # of LevelDB's tables: a `.ckpt`, or its `.index`


def _describe(head: bytes, tail: bytes) -> str:
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
    if tail == _TABLE_END:
        return "a checkpoint of TensorFlow, which is not supported"
    if head.startswith(bytes(16)):
        return "parameters of an exported graph (.pdiparams), which have no names; give the .pdparams file"
    if head.startswith(b"\x93NUMPY"):
        return _NUMPY
    if all(byte in b"\t\n\r" or byte >= 0x20 for byte in head):
        return f"a text file that starts with '{show_text(head.decode('utf-8', 'replace'), 40)}'"
    return f"an unknown format that starts with the bytes {head[:8].hex(' ')}"


# --- from the pickle's values to arrays ----------------------------------------------------------------

_ReadStorage = Callable[[Storage], np.ndarray]


def _strided(flat: np.ndarray, tensor: Tensor) -> np.ndarray:
    """A view of the storage, after a check that every element lies within it."""
    _, offset, size, stride = tensor
    count = count_elements(size)
    count_elements((offset, *stride))
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # A stride of 0 would let a few bytes become any number of elements.
    if count > flat.size or (count and last >= flat.size):
        raise ValueError(f"a tensor of {count:,} elements beyond the {flat.size:,} of its storage")
    strides = [step * flat.itemsize for step in stride]
    start = flat[offset:] if count else flat[:0]
    return np.lib.stride_tricks.as_strided(start, size, strides, writeable=False)


class _Copies:
    """Arrays of the pickle in this machine's byte order, bfloat16 as float32: each is made once."""

    def __init__(self, size: int) -> None:
        self._left, self._made = size, dict[int, np.ndarray]()

    def __call__(self, source: Array) -> np.ndarray:
        array = source.array
        # Paddle has no numpy type for bfloat16, and none of its own weights are uint16.
        if array.dtype.isnative and array.dtype != np.uint16:
            return array
        if id(source) not in self._made:
            self.count(array)
            native = array.astype(array.dtype.newbyteorder("="), copy=False)
            self._made[id(source)] = widen_bfloat16(native) if native.dtype == np.uint16 else native
        return self._made[id(source)]

    def count(self, array: np.ndarray) -> None:
        """Count the bytes of a copy; CheckpointError beyond those of the file."""
        self._left -= array.nbytes
        if self._left < 0:
            raise CheckpointError("is refused: it uses the same bytes for more arrays than it could hold")


def _collect(content: object, size: int, read_storage: _ReadStorage | None = None) -> dict[str, np.ndarray]:
    """The arrays of the state dict within an unpickled object; the file has ``size`` bytes."""
    if not isinstance(content, dict):
        raise CheckpointError(f"holds no state dict but a {type(content).__name__.lstrip('_')}")
    state: Mapping = content
    for name in _WRAPPERS:
        if isinstance(content.get(name), dict):
            state = content[name]
            break
    arrays: dict[str, np.ndarray] = {}
    storages: dict[str, np.ndarray] = {}
    copies = _Copies(size)
    joined = _join_slices(state, copies)
    for key, value in state.items():
        if key in joined:
            continue
        if not isinstance(value, Tensor) and isinstance(value, tuple) and len(value) == 2:
            value = value[1]  # paddle: (the tensor's inner name, array)
        if isinstance(value, Array):
            arrays[str(key)] = copies(value)
        elif isinstance(value, Tensor) and read_storage is not None:
            storage = value.storage
            if storage.key not in storages:
                storages[storage.key] = read_storage(storage)
            arrays[str(key)] = _strided(storages[storage.key], value)
    arrays |= {key: array for key, array in joined.items() if array is not None}
    if not arrays:
        keys = ", ".join(f"'{show_text(key)}'" for key in list(state)[:5])
        raise CheckpointError(f"holds no arrays; its keys are {keys or 'none'}")
    return arrays


def _join_slices(state: Mapping[str, Any], copies: _Copies) -> dict[str, np.ndarray | None]:
    """The large arrays that Paddle split, by key; None for the parts."""
    joined: dict[str, np.ndarray | None] = {}
    for key, entry in state.get(_PADDLE_SLICES, {}).items():
        names, shape = entry["slices"], entry["OriginShape"]
        parts = [state[name].array for name in names]
        if {part.dtype for part in parts} != {parts[0].dtype} or any(name in joined for name in names):
            raise ValueError("parts of an array that do not match")
        is_bfloat16 = parts[0].dtype == np.uint16
        if sum(part.size for part in parts) != count_elements(shape):
            raise ValueError("parts of an array that do not fill it")
        whole = np.empty(count_elements(shape), np.float32 if is_bfloat16 else parts[0].dtype)
        at = 0
        for part in parts:
            copies.count(part)
            target = whole[at : at + part.size]
            if is_bfloat16:
                widen_bfloat16(part.ravel(), target)
            else:
                target[:] = part.ravel()
            at += part.size
        joined |= {**dict.fromkeys(names), key: whole.reshape(shape)}
    return joined


# --- the formats ---------------------------------------------------------------------------------------


def _read_pickle(content: bytes) -> dict[str, np.ndarray]:
    pickles = ArrayPickles(content)
    first = pickles.load()
    if isinstance(first, int) and first == _TORCH_LEGACY_MAGIC:
        return _read_torch_legacy(pickles, content)
    return _collect(first, len(content))


def _read_torch_legacy(pickles: ArrayPickles, content: bytes) -> dict[str, np.ndarray]:
    """Read torch.save before PyTorch 1.6: magic, version, system, content, storage keys, storages."""
    pickles.load()
    if not pickles.load().get("little_endian", True):
        raise CheckpointError("was written on a big-endian machine; save it again on another")
    state = pickles.load()
    raw: dict[str, memoryview] = {}
    for key in pickles.load():
        count = int.from_bytes(pickles.take(8), "little", signed=True)
        raw[key] = pickles.take(max(count, 0) * itemsize(pickles.storages[key].code))

    return _collect(
        state, len(content), lambda storage: array_from_bytes(raw[storage.key], storage.code, storage.count)
    )


def _read_torch_zip(content: bytes) -> dict[str, np.ndarray]:
    """Read torch.save since PyTorch 1.6: an archive of ``<name>/data.pkl`` and ``<name>/data/<key>``."""
    archive = StoredZip(content)
    pickles = [name for name in archive if name.split("/")[-1] == "data.pkl"]
    if len(pickles) != 1:
        raise CheckpointError("is a zip archive, but not one of torch.save; unpack it first")
    prefix = pickles[0].removesuffix("data.pkl")
    if f"{prefix}byteorder" in archive and archive[f"{prefix}byteorder"] != b"little":
        raise CheckpointError("was written on a big-endian machine; save it again on another")

    def read_storage(storage: Storage) -> np.ndarray:
        return array_from_bytes(archive[f"{prefix}data/{storage.key}"], storage.code, storage.count)

    state = ArrayPickles(bytes(archive[pickles[0]])).load()
    return _collect(state, len(content), read_storage)
