"""Restricts pickles of weights to arrays and tensors; no name in a file reaches a real function.

A pickle names functions and calls them. Each name of a fixed list is replaced by a stand-in from this module,
so that a file cannot reach any function of numpy or PyTorch.
"""

import codecs
import math
import pickle
import re
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ppose.archives import count_elements
from ppose.errors import CheckpointError
from ppose.paths import show_text
from ppose.weights.pickle_machine import PickleMachine

BFLOAT16 = "bfloat16"
_TORCH_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}


class _Dict(dict):
    """An OrderedDict of the pickle; its attributes (``_metadata`` of a state dict) are not needed."""

    __slots__ = ()

    def set_state(self, state: object) -> None:
        """Ignore the state."""


class _Dtype:
    """A plain numeric numpy dtype of the pickle."""

    __slots__ = ("dtype",)

    def __init__(self, code: str, *_: object) -> None:
        # No objects and records: an object array would hold whatever the pickle makes.
        if not isinstance(code, str) or not re.fullmatch(r"b1|[if][1248]|u[12]", code):
            raise CheckpointError(
                f"holds an array of dtype '{show_text(code)}'; weights are bool, int or float"
            )
        self.dtype = np.dtype(code)

    def set_state(self, state: tuple[Any, Any]) -> None:
        """Set the byte order."""
        if state[1] not in ("<", ">", "|"):
            raise ValueError("an unknown byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


_NOTHING = np.empty(0)


class Array:
    """A numpy array of the pickle, filled by its state as ``numpy.ndarray.__setstate__`` would be.

    ``array`` is a view of the file, in the file's byte order.
    """

    __slots__ = ("array",)

    def __init__(self, *_: object) -> None:
        self.array = _NOTHING

    def set_state(self, state: tuple) -> None:
        """Set version, shape, dtype, whether it is in Fortran order, bytes."""
        _, shape, dtype, is_fortran, raw = state
        raw = raw.encode("latin-1") if isinstance(raw, str) else raw  # Python 2 wrote bytes as str
        kind, count = dtype.dtype, count_elements(shape)
        if count * kind.itemsize != len(raw):
            raise EOFError(f"{len(raw):,} bytes where {count:,} elements were announced")
        flat = np.frombuffer(raw, kind)
        self.array = flat.reshape(shape, order="F" if is_fortran else "C")


class Storage(NamedTuple):
    """A run of ``count`` elements beside the pickle; ``code`` is a numpy type code or BFLOAT16."""

    key: str
    code: str
    count: int  # type: ignore[assignment]  # hides a method of tuples that nobody calls


class Tensor(NamedTuple):
    """A view of a storage; offset and stride count elements. Not checked yet: a file may say anything."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _scalar(dtype: _Dtype, raw: Any) -> Array:
    array = Array()
    array.set_state((1, (), dtype, False, raw))
    return array


def _same_tuple(items: tuple = ()) -> tuple:
    if not isinstance(items, tuple):
        raise TypeError("a tuple of something else")
    return items


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): None,  # only ever the first argument of _reconstruct
    ("numpy", "dtype"): lambda *args: _Dtype(*args),
    ("torch._utils", "_rebuild_tensor_v2"): lambda *args: Tensor(*args[:4]),
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    **{("torch", name): code for name, code in _TORCH_STORAGES.items()},
}
for _package in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_package, "_reconstruct"] = Array
    _ALLOWED[_package, "scalar"] = lambda *args: _scalar(*args)
for _package in ("builtins", "__builtin__"):
    _ALLOWED[_package, "tuple"] = _same_tuple  # paddle.save writes a tensor as tuple((name, array))
    _ALLOWED[_package, "bytes"] = lambda: b""  # how protocol 2 writes empty bytes


# An entry of a state dict in protocol 4 (all but the first): its key, numpy's call for an empty array,
# version, shape and dtype, up to the bytes.
_NUMBER = rb"(?:K.|M..|J...[\x00-\x7f])"
_ENTRY = re.compile(
    rb"\x8c(.)([ -~]*)\x94h(.)h.K\x00\x85\x94h.\x87\x94R\x94\(K\x01"
    rb"(%b\x85|%b{2}\x86|%b{3}\x87|\(%b{4,8}t)\x94h(.)\x89(?:C(.)|B(....))" % (4 * (_NUMBER,)),
    re.DOTALL,
)
_ENTRY_END = b"\x94t\x94b"
_TEXT_AT_ONCE = 1 << 20  # bytes; a letter of a text may need four
_MOST_ENTRIES = 10_000  # further ones are read, and counted, operation by operation


@lru_cache(maxsize=1024)
def _read_shape(operations: bytes) -> tuple[tuple[int, ...], int]:
    """The numbers of a tuple of `_ENTRY`, and their product."""
    numbers, at = [], int(operations[:1] == pickle.MARK)
    while at < len(operations) - 1:
        size = {75: 1, 77: 2, 74: 4}[operations[at]]  # K, M, J
        numbers.append(int.from_bytes(operations[at + 1 : at + 1 + size], "little"))
        at += 1 + size
    return tuple(numbers), math.prod(numbers)


class ArrayPickles(PickleMachine):
    """Reads a file's pickles of arrays and tensors; raises for any other name before it is called.

    ``storages`` collects the storages that the pickles name, by key: the oldest format of PyTorch does not
    write the elements' type beside their bytes.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content, self._stand_in, self._storage)
        self._copies_left = len(content)  # bytes that are in a file once need to be copied only once
        self._entries_left = _MOST_ENTRIES
        self.storages: dict[str, Storage] = {}

    def _stand_in(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        if (module, name) == ("collections", "OrderedDict"):
            return self._ordered_dict
        if (module, name) not in _ALLOWED:
            raise CheckpointError(
                f"is refused: its pickle names {show_text(f'{module}.{name}')}, and only arrays and tensors "
                "are read (nothing was run); save a plain state dict, or a .safetensors file"
            )
        return _ALLOWED[module, name]

    def _storage(self, pid: Any) -> Storage:
        kind, code, key, _, count, *view = pid
        if kind != "storage" or code not in _TORCH_STORAGES.values() or any(v is not None for v in view):
            raise CheckpointError(
                "holds an entry that is no plain tensor storage; save a plain state dict with "
                "PyTorch 1.6 or newer"
            )
        if not isinstance(key, str | int) or not isinstance(count, int):
            raise TypeError("a storage without a key or a count")
        storage = Storage(str(key), code, count)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise ValueError("one storage of two types or lengths")
        return storage

    def build(self) -> None:
        """See `PickleMachine`; after an array it reads the following entries at once."""
        super().build()
        if isinstance(self._stack[-1], Array):
            self._read_entries()

    def _read_entries(self) -> None:
        """Read the entries after an array while they match `_ENTRY`: the effect of 24 operations at once."""
        data, memo, stack, position = self._data, self._memo, self._stack, self.position
        content, entries = self._content, 0
        while entries < self._entries_left and (found := _ENTRY.match(data, position)):
            length, key, make, tuple_code, kind, short, long = found.groups()
            start, size = found.end(), short[0] if short else int.from_bytes(long, "little")
            shape, count = _read_shape(tuple_code)
            dtype = memo[kind[0]]
            if not (
                memo[make[0]] is Array
                and type(dtype) is _Dtype
                and count * dtype.dtype.itemsize == size
                and len(key) == length[0]
                and data.startswith(_ENTRY_END, start + size)
            ):
                break
            array, name = Array(), key.decode("ascii")
            array.array = np.ndarray(shape, dtype.dtype, data, start)
            stack += (name, array)
            # Python shares one object per single byte, so others refer to it; longer bytes belong only to us.
            raw = content[start : start + size] if size < 2 else None
            memo += (name, None, None, array, None, raw, None)
            position = start + size + len(_ENTRY_END)
            entries += 1
        self._entries_left -= entries
        self.position = position

    def _encode(self, text: Any, encoding: str) -> bytes | bytearray:
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError("bytes in an unknown encoding")
        self._copy(len(text))
        return _encode_text(text)

    def _ordered_dict(self, items: Any = ()) -> _Dict:
        self._copy(len(items))
        return _Dict((key, value) for key, value in items if isinstance(key, str))

    def _copy(self, size: int) -> None:
        self._copies_left -= size
        if self._copies_left < 0:
            raise CheckpointError("is refused: its pickle copies more than the file holds")


def _encode_text(text: str | memoryview) -> bytes | bytearray:
    """The bytes of a text, one per character: how protocol 2 writes an array's bytes."""
    if isinstance(text, str):
        return text.encode("latin-1")
    if len(text) <= _TEXT_AT_ONCE:
        return str(text, "utf-8").encode("latin-1")
    decode = codecs.getincrementaldecoder("utf-8")().decode
    encoded = bytearray()
    for start in range(0, len(text), _TEXT_AT_ONCE):
        part = text[start : start + _TEXT_AT_ONCE]
        encoded += decode(part, start + len(part) == len(text)).encode("latin-1")
    return encoded


def itemsize(code: str) -> int:
    """The size of one element of a storage in bytes."""
    return 2 if code == BFLOAT16 else np.dtype(code).itemsize


def array_from_bytes(raw: Any, code: str, count: int) -> np.ndarray:
    """``count`` elements, flat, as a view of exactly their bytes; bfloat16 becomes float32.

    Raises EOFError if there are fewer or more bytes.
    """
    if count < 0 or count * itemsize(code) != len(raw):
        raise EOFError(f"{len(raw):,} bytes where {count:,} elements of {code} were announced")
    return widen_bfloat16(np.frombuffer(raw, "<u2")) if code == BFLOAT16 else np.frombuffer(raw, code)


def widen_bfloat16(array: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """float32 from bfloat16 held as uint16: it is a float32 without the lower half of its bits."""
    wide = np.empty(array.shape, np.uint32) if out is None else out.view(np.uint32)
    return np.left_shift(array, np.uint32(16), out=wide, dtype=np.uint32).view(np.float32)
