"""Makes almost valid files from a few valid ones by a seed; none is stored."""

import io
import json
import pickle
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from robustness.pictures import whole_images, whole_videos

from ppose.engine.state import Progress, TrainState, write_state
from ppose.weights.safetensors_file import write_safetensors

_RNG = np.random.default_rng(0)
_ARRAYS = {
    "conv.weight": _RNG.normal(size=(4, 3, 3, 3)).astype(np.float32),
    "conv.bias": np.zeros(4, np.float32),
    "norm.count": np.array(3),
    "mask": np.array([True, False]),
}
# Bytes that break readers more often than random ones: ends of ranges, marks of formats, terminal codes.
_TOKENS = (
    b"\xff" * 4, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x00" * 8, b"\x00\x00\x00\x80", b"PK\x03\x04",
    b"r\xff\xff\xff\xff", b"\x8e" + b"\xff" * 8, b"2\x862\x862\x86", b"(((((((((", b"cos\nsystem\n", b"R.",
    b"[" * 60, b"{" * 60, b"- " * 60, b"*a", b"&a ", b"<<: ", b"!!python/object:os.system ", b"!Name ", b": ",
    b"10e400", b"1" * 400, b"-1", b"NaN", b"Infinity", b"null", b'"', b"\x1b[2J", b"\nerror: forged\n",
)  # fmt: skip

CONFIG = """
_BASE_: [_base_/coco_topdown.yml, _base_/hrnet.yml]
trainsize: [64, 64]
hmsize: [16, 16]
width: &width 24
epoch: 2
EvalDataset: !KeypointTopDownCocoDataset {image_dir: images, anno_path: none.json, dataset_dir: none}
HRNet: {width: *width}
"""


def whole_files(kind: str, folder: Path) -> list[bytes]:
    """Return valid files of a kind, from which others are made; some are first written to the folder."""
    if kind == "pickles":
        return [
            pickle.dumps({"state_dict": _ARRAYS} if n else _ARRAYS, protocol)
            for n in (0, 1)
            for protocol in (2, 4)
        ]
    if kind == "archives":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("m/data.pkl", pickle.dumps({"a": 1, "b": _ARRAYS["conv.bias"]}, 2))
            archive.writestr("m/data/0", bytes(64))
        return [buffer.getvalue()]
    if kind == "safetensors":
        write_safetensors(folder / "whole.safetensors", _ARRAYS)
        return [(folder / "whole.safetensors").read_bytes()]
    if kind == "cuts":
        return [file for each in ("pickles", "archives", "safetensors") for file in whole_files(each, folder)]
    if kind == "states":
        state = TrainState(
            Progress(1, 0), 3, 0, "Adam", _ARRAYS, optimizer={"a|moment1": _ARRAYS["conv.bias"]}
        )
        write_state(folder / "whole.npz", state)
        return [(folder / "whole.npz").read_bytes()]
    if kind == "configs":
        return [CONFIG.encode()]
    if kind == "images":
        return whole_images()
    if kind == "videos":
        return whole_videos(folder)
    if kind == "answers":
        body = pickle.dumps(_ARRAYS, 4)
        return [
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: a/b\r\n\r\n" % len(body) + body,
            b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
        ]
    person = {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 90], "area": 2700.0, "iscrowd": 0,
        "num_keypoints": 17, "keypoints": [20, 30, 2] * 17,
    }  # fmt: skip
    image = {"id": 1, "file_name": "1.jpg", "width": 160, "height": 120}
    content = {"images": [image], "annotations": [person], "categories": [{"id": 1, "name": "person"}]}
    return [json.dumps(content).encode()]


def mutate(files: list[bytes], count: int, seed: int | Sequence[int]) -> Iterator[bytes]:
    """Yield files with a few faults: bytes changed, removed, repeated, inserted; the same for equal seeds."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        content = bytearray(files[rng.integers(len(files))])
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(content) + 1))
            end = min(len(content), at + int(rng.integers(1, 40)))
            fault = rng.integers(6)
            if fault == 0:
                content[at:end] = rng.bytes(end - at)
            elif fault == 1:
                del content[at:end]
            elif fault == 2:
                content[at:at] = content[at:end] * int(rng.integers(1, 20))
            elif fault == 3:
                content[at:at] = _TOKENS[rng.integers(len(_TOKENS))]
            elif fault == 4:
                token = _TOKENS[rng.integers(len(_TOKENS))]
                content[at : at + len(token)] = token
            elif rng.integers(4) == 0:
                del content[at:]
        yield bytes(content)


def cut(files: list[bytes], count: int, seed: int | Sequence[int]) -> Iterator[bytes]:
    """Yield truncated files; the same for equal seeds."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        content = files[rng.integers(len(files))]
        yield content[: rng.integers(len(content))]
