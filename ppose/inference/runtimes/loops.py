"""Rejects graphs that may never end: those with loops, and ONNX files with a huge operator version.

No keypoint network or detector needs a loop. OpenVINO iterates over all versions of ONNX's operators, from
the first to the file's.
"""

import json
import mmap
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.parsers import expat

from ppose.errors import DataError
from ppose.paths import show_name

# Fields of messages that lead to operators, or are an operator's type: ONNX's (onnx.proto), Paddle's
# (framework.proto).
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"}, "graph": {1: "node"}, "function": {7: "node"},
    "node": {4: "type", 5: "attribute"}, "attribute": {6: "graph", 11: "graph"},
    "program": {1: "block"}, "block": {4: "operator"}, "operator": {3: "type"},
}  # fmt: skip
_OPSETS, _VERSION = 8, 2  # fields of ONNX's model, and of each of its operator sets
_MOST_VERSION = 1000
_OPENVINO_LOOPS = ("Loop", "TensorIterator")
_PADDLE_LOOP = re.compile(rb'"[\w.]*\bwhile"')


def refuse_loops(file: Path) -> None:
    """Raise DataError for an ONNX, OpenVINO or Paddle graph that may never end; a damaged one may pass."""
    looks = {".xml": _loops_in_xml, ".json": _loops_in_json, ".pdmodel": _loops_in_program}
    with open(file, "rb") as opened:
        try:
            content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except (ValueError, OSError):  # an empty file, or one that cannot be mapped
            return
        with content:
            look = looks.get(file.suffix.lower(), _loops_in_onnx)
            loops = look(content)
            version = _newest_opset(content) if look is _loops_in_onnx else 0
    if version > _MOST_VERSION:
        raise DataError(
            f"{show_name(file)} needs version {version} of ONNX's operators, expected {_MOST_VERSION} at most"
        )
    if loops:
        raise DataError(
            f"{show_name(file)} has a loop, which may never end; keypoint networks and detectors need none: "
            "export it without"
        )


def _loops_in_onnx(content: mmap.mmap) -> bool:
    return _has_operator(content, "model", b"Loop")


def _loops_in_program(content: mmap.mmap) -> bool:
    return _has_operator(content, "program", b"while")


def _has_operator(content: mmap.mmap, message: str, name: bytes) -> bool:
    if content.find(name) < 0:  # strings are stored verbatim
        return False
    with memoryview(content) as view:
        left = [(_FIELDS[message], 0, len(view))]
        try:
            while left:
                fields, start, end = left.pop()
                for number, begin, after in _messages(view, start, end):
                    kind = fields.get(number)
                    if kind == "type" and after - begin == len(name) and bytes(view[begin:after]) == name:
                        return True
                    if kind in _FIELDS:
                        left.append((_FIELDS[kind], begin, after))
        except (IndexError, ValueError):
            return True  # unreadable here, and contains a loop's name
    return False


def _newest_opset(content: mmap.mmap) -> int:
    """The largest operator version that an ONNX file states."""
    newest = 0
    with memoryview(content) as view, suppress(IndexError, ValueError):
        for number, begin, after in _messages(view, 0, len(view)):
            at = begin
            while number == _OPSETS and at < after:
                tag, at = _varint(view, at)
                value, at = _varint(view, at)
                if tag == _VERSION << 3:
                    newest = max(newest, value)
                elif tag & 7 == 2:
                    at += value
    return newest


def _messages(view: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, begin and end of each length-delimited field of a Protocol Buffers message."""
    while at < end:
        tag, at = _varint(view, at)
        kind = tag & 7
        if kind == 0:
            at = _varint(view, at)[1]
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            size, begin = _varint(view, at)
            at = begin + size
            yield tag >> 3, begin, at
        else:
            raise ValueError("a group")
    if at != end:
        raise ValueError("a field beyond its message")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = view[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number of more than ten bytes")


def _loops_in_xml(content: mmap.mmap) -> bool:
    plain = content.find(b"&#") < 0 and content.find(b"\0") < 0  # no escapes, and no UTF-16
    if plain and all(content.find(name.encode()) < 0 for name in _OPENVINO_LOOPS):
        return False
    found: list[str] = []

    def begin(name: str, attributes: dict[str, Any]) -> None:
        if name == "layer" and attributes.get("type") in _OPENVINO_LOOPS:
            found.append(name)

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    try:
        parser.Parse(content[:], True)
    except expat.ExpatError:
        return True
    return bool(found)


def _loops_in_json(content: mmap.mmap) -> bool:
    if content.find(b"\\") < 0:
        return bool(_PADDLE_LOOP.search(content))
    try:
        return bool(_PADDLE_LOOP.search(json.dumps(json.loads(content[:]), ensure_ascii=False).encode()))
    except (ValueError, RecursionError):
        return False  # Paddle cannot read it either
