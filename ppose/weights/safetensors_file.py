"""The safetensors format: a header of names, types, shapes and offsets, then the bytes of the arrays.

As specified by github.com/huggingface/safetensors, arrays follow each other without gaps.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ppose.archives import count_elements
from ppose.errors import CheckpointError
from ppose.files import replacing
from ppose.paths import show_text
from ppose.weights.restricted_pickle import BFLOAT16, array_from_bytes

HEADER_LIMIT = 4 << 20  # bytes: some 30,000 arrays; the format allows more
_CODES = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": BFLOAT16,
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "b1",
}
_TYPES = {np.dtype(code): name for name, code in _CODES.items() if code != BFLOAT16}


def read_safetensors(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a file's content, as views of it, except bfloat16, which becomes float32.

    Raises ValueError, EOFError, KeyError or TypeError if it is damaged, CheckpointError for element types
    that no network has.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    if start > len(content):
        raise EOFError(f"a header of {start - 8:,} bytes")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    data, arrays, at = memoryview(content)[start:], {}, 0
    for key, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"][0]):
        begin, end = entry["data_offsets"]
        if begin != at or not begin <= end <= len(data):
            raise EOFError(f"array '{show_text(key)}' does not start at the end of the previous one")
        code = _CODES.get(entry["dtype"])
        if code is None:  # unsigned numbers, complex numbers, floats of 8 bits and less
            raise CheckpointError(
                f"holds '{show_text(key)}' as {show_text(entry['dtype'])}, which no network here uses"
            )
        flat = array_from_bytes(data[begin:end], code, count_elements(entry["shape"]))
        arrays[key] = flat.reshape(entry["shape"])
        at = end
    if at != len(data):
        raise EOFError(f"{len(data) - at:,} bytes that belong to no array")
    return arrays


def write_safetensors(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays; on an error the old file stays. OSError names the file."""
    header, at = {}, 0
    for key, array in arrays.items():
        end = at + array.nbytes
        header[key] = {"dtype": _TYPES[array.dtype], "shape": array.shape, "data_offsets": (at, end)}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that arrays are aligned
    with replacing(path) as part, part.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).data)
