"""An unpickler for arrays and tensors only: no name in a file reaches a real function.

A pickle is a small program: it names functions and calls them. The unpickler here knows a fixed list of
names, and behind each name stands a stand-in of this file, not the function that the name means elsewhere:
nothing of numpy or PyTorch can be reached from a file.
"""

import math
import pickle
import re
from collections.abc import Callable
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np

from ppose.errors import CheckpointError

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


class _Allowed:
    """A callable that a pickle may name; BUILD cannot change it, as it could a function or a class."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("the pickle tries to change a function")


class _Dict(dict):
    """An OrderedDict of the pickle; its attributes (``_metadata`` of a state dict) are not needed."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _Dtype:
    """A plain numeric numpy dtype of the pickle."""

    __slots__ = ("dtype",)

    def __init__(self, code: str, *_: object) -> None:
        # Objects and records are not for weights: an object array would hold whatever the pickle makes.
        if not isinstance(code, str) or not re.fullmatch(r"b1|[iuf][1248]", code):
            raise CheckpointError(
                f"holds an array of dtype {code!r}; weights are booleans, integers or floats"
            )
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, Any]) -> None:
        orders: dict[str, Literal["<", ">", "|"]] = {"<": "<", ">": ">", "|": "|"}
        self.dtype = self.dtype.newbyteorder(orders[state[1]])


class Array:
    """A numpy array of the pickle, filled by its state as ``numpy.ndarray.__setstate__`` would be."""

    __slots__ = ("array",)

    def __init__(self, *_: object) -> None:
        self.array = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, raw = state
        # Python 2 wrote bytes as str.
        raw = raw.encode("latin-1") if isinstance(raw, str) else raw
        flat = array_from_bytes(raw, dtype.dtype.str, math.prod(shape))
        flat = flat.astype(flat.dtype.newbyteorder("="), copy=False)
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


def _scalar(dtype: _Dtype, raw: bytes | str) -> Array:
    array = Array()
    array.__setstate__((1, (), dtype, False, raw))
    return array


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
    return text.encode("latin-1")


def _allow_list() -> dict[tuple[str, str], object]:
    array, scalar = _Allowed(Array), _Allowed(_scalar)
    allowed: dict[tuple[str, str], object] = {
        ("numpy", "ndarray"): None,  # only ever the first argument of _reconstruct
        ("numpy", "dtype"): _Allowed(_Dtype),
        ("_codecs", "encode"): _Allowed(_encode),
        ("collections", "OrderedDict"): _Allowed(_Dict),
        ("torch._utils", "_rebuild_tensor_v2"): _Allowed(lambda *args: Tensor(*args[:4])),
        ("torch._utils", "_rebuild_parameter"): _Allowed(lambda data, *_: data),
    }
    for package in ("numpy.core.multiarray", "numpy._core.multiarray"):
        allowed[package, "_reconstruct"] = array
        allowed[package, "scalar"] = scalar
    for package in ("builtins", "__builtin__"):
        allowed[package, "tuple"] = _Allowed(tuple)  # paddle.save writes a tensor as tuple((name, array))
        allowed[package, "bytes"] = _Allowed(lambda: b"")  # protocol 2 writes empty bytes so
    allowed.update({("torch", name): code for name, code in _TORCH_STORAGES.items()})
    return allowed


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays and tensors; any name outside the list ends the reading before anything is called."""

    _allowed = _allow_list()

    def __init__(self, file: BinaryIO) -> None:
        # latin-1 keeps the bytes of strings that Python 2 wrote.
        super().__init__(file, encoding="latin-1")

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name of the pickle; CheckpointError for names that no weights file needs."""
        if (module, name) not in self._allowed:
            raise CheckpointError(
                f"is refused: its pickle names {module}.{name}, and only arrays and tensors are read "
                "(nothing was run); save a plain state dict, or a .safetensors file"
            )
        return self._allowed[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        """The storage that PyTorch's entry names; its bytes are beside the pickle."""
        kind, code, key, _, count, *view = pid
        if kind != "storage" or code not in _TORCH_STORAGES.values() or any(v is not None for v in view):
            raise CheckpointError(
                f"holds a {kind!r} entry that is no plain tensor storage; save a plain state dict with "
                "PyTorch 1.6 or newer"
            )
        return Storage(str(key), code, int(count))


class LegacyUnpickler(ArrayUnpickler):
    """Keeps the element types of all storages: the old format does not write them beside the bytes."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.codes: dict[str, str] = {}

    def persistent_load(self, pid: Any) -> Storage:
        """As above; the storage's element type goes to ``codes``."""
        storage = super().persistent_load(pid)
        self.codes[storage.key] = storage.code
        return storage


def itemsize(code: str) -> int:
    """Bytes of one element of a storage."""
    return 2 if code == BFLOAT16 else np.dtype(code).itemsize


def array_from_bytes(raw: bytes | bytearray, code: str, count: int) -> np.ndarray:
    """``count`` elements, flat, from exactly their little-endian bytes; bfloat16 becomes float32.

    Raises EOFError where the bytes are fewer or more.
    """
    if count < 0 or count * itemsize(code) != len(raw):
        raise EOFError(f"{len(raw):,} bytes where {count:,} elements of {code} were announced")
    if code == BFLOAT16:
        return widen_bfloat16(np.frombuffer(raw, "<u2"))
    return np.frombuffer(raw, np.dtype(code))


def widen_bfloat16(array: np.ndarray) -> np.ndarray:
    """float32 from bfloat16 held as uint16: it is a float32 without the lower half of its bits."""
    return (array.astype(np.uint32) << 16).view(np.float32)
