"""Makes folders with corrupt exported models from valid ones, reproducibly."""

import copy
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import yaml
from inference.constant_graphs import write_detector
from onnx import TensorProto, helper, numpy_helper
from robustness.changed_graphs import change_nodes, change_values
from robustness.corpus import mutate
from robustness.effort import tries

from ppose.files import file_digest

NAN, INF = float("nan"), float("inf")
DROPPED = object()
_FORGED = "a\nerror: forged\x1b[2J"

# Keys of infer_cfg.yml, by their path, and their corrupt values.
_SETTINGS: list[tuple[str, Any]] = [
    ("format", 3), ("format", "2"), ("format", DROPPED), ("format", [_FORGED]), ("name", _FORGED),
    ("input_size", [0, 96]), ("input_size", [-64, 96]), ("input_size", [10**9, 10**9]), ("input_size", [64]),
    ("input_size", [64.5, 96]), ("input_size", "large"), ("input_size", [NAN, 96]), ("input_size", [64, 100]),
    ("input_size", DROPPED), ("input_dtype", "uint8"), ("input_dtype", "int3"), ("batch", 0), ("batch", -1),
    ("batch", 10**12), ("batch", 3), ("batch", "two"), ("batch", NAN), ("box_padding", NAN),
    ("box_padding", INF), ("box_padding", 0), ("box_padding", -1.25), ("box_padding", 1e300),
    ("flip_test", "perhaps"), ("decode_in_graph", True), ("decode_in_graph", "no"),
    ("channel_order", "xyz"), ("codec", DROPPED), ("codec", {"Codec": {}}),
    ("codec", "MSRAHeatmap"), ("codec", {"NormalizeImage": {"mean": [0, 0, 0]}}),
    ("codec.MSRAHeatmap.sigma", NAN), ("codec.MSRAHeatmap.sigma", 0), ("codec.MSRAHeatmap.sigma", 1e9),
    ("codec.MSRAHeatmap.sigma", -1), ("codec.MSRAHeatmap.heatmap_size", [8, 8]),
    ("codec.MSRAHeatmap.heatmap_size", [0, 0]), ("codec.MSRAHeatmap.heatmap_size", [10**6, 10**6]),
    ("codec.MSRAHeatmap.heatmap_size", [16, 24, 1]), ("codec.MSRAHeatmap.peak", NAN),
    ("codec.MSRAHeatmap.peak", 1e-300), ("codec.MSRAHeatmap.peak", INF),
    ("codec.MSRAHeatmap.input_size", [32, 32]), ("sample_transforms", []), ("sample_transforms", "none"),
    ("sample_transforms", [{"RandomShift": {}}]), ("sample_transforms", [{"Decode": {}}]),
    ("sample_transforms.0.TopDownEvalAffine.trainsize", [0, 0]),
    ("sample_transforms.0.TopDownEvalAffine.trainsize", [10, 10]),
    ("sample_transforms.0.TopDownEvalAffine.trainsize", [NAN, INF]),
    ("sample_transforms.0.TopDownEvalAffine.trainsize", [64]), ("batch_transforms", []),
    ("batch_transforms", [{"Permute": {}}, {"Permute": {}}]), ("batch_transforms", [{"_FORGED": _FORGED}]),
    ("batch_transforms.0.NormalizeImage.std", [0, 1, 1]),
    ("batch_transforms.0.NormalizeImage.std", [NAN] * 3),
    ("batch_transforms.0.NormalizeImage.mean", [1e300, 0, 0]),
    ("batch_transforms.0.NormalizeImage.mean", [0]),
    ("batch_transforms.0.NormalizeImage.mean", [NAN, 0, 0]), ("keypoint_set", DROPPED),
    ("keypoint_set.KeypointSet.names", ["red"]), ("keypoint_set.KeypointSet.names", ["red", "red"]),
    ("keypoint_set.KeypointSet.names", [f"k{i}" for i in range(5000)]),
    ("keypoint_set.KeypointSet.names", []), ("keypoint_set.KeypointSet.sigmas", [NAN, 1.0]),
    ("keypoint_set.KeypointSet.sigmas", [-1.0, 1.0]), ("keypoint_set.KeypointSet.skeleton", [[0, 99]]),
    ("keypoint_set.KeypointSet.flip_pairs", [[0, 0]]), ("keypoint_set.KeypointSet.upper_body", [-1]),
    ("files", {}), ("files", DROPPED), ("files", {"../../etc/passwd": "0" * 64}), ("files", ["model.onnx"]),
    ("files.model", "0" * 64), ("stride", [NAN, 4]), ("in_words", [1, 2]), ("weights_sha256", 5),
    ("versions", {"a": [1]}), ("int8_weights", "full"), ("int8_weights", "most"),
    ("quantization_sha256", "0" * 64), (_FORGED, 1),
]  # fmt: skip
_VALUES = (
    NAN, -INF, -1, 0, 2**63, 1e-320, 1e38, 0.5, True, None, "", "x", _FORGED, "\u202e\0", [], [[]],
    [0] * 4000, {}, {"MSRAHeatmap": {}}, DROPPED,
)  # fmt: skip
_TEXTS = {
    "empty": b"", "binary": bytes(range(256)), "a list": b"[1, 2]", "a tag": b"!!python/object:os.system x",
    "deep": b"[" * 3000, "aliases": b"a: &a [x, x]\nb: &b [*a, *a]\n" * 3, "a scalar": b"5",
}  # fmt: skip


_AFFINE, _PERMUTE = {"type": "TopDownEvalAffine", "trainsize": [64, 96]}, {"type": "Permute"}
_NORMALIZE = {"type": "NormalizeImage", "mean": [0, 0, 0], "std": [1, 1, 1], "is_scale": True}
# Preprocess of PaddleDetection's keypoint networks.
_STEPS: dict[str, Any] = {
    "no steps": [], "no list": 5, "a type that is none": [{"type": {}}], "no affine": [_PERMUTE],
    "no Permute": [_AFFINE, _NORMALIZE], "others": [_AFFINE, {"type": "Mosaic"}, _PERMUTE],
    "an argument more": [{**_AFFINE, "pad": 3}, _NORMALIZE, _PERMUTE],
    "a size of 10^9": [{**_AFFINE, "trainsize": [10**9, 10**9]}, _NORMALIZE, _PERMUTE],
    "a size of 0": [{**_AFFINE, "trainsize": [0, 0]}, _NORMALIZE, _PERMUTE],
    "a size of NaN": [{**_AFFINE, "trainsize": [NAN, 96]}, _NORMALIZE, _PERMUTE],
    "a size of one": [{**_AFFINE, "trainsize": 64}, _NORMALIZE, _PERMUTE],
    "a size in words": [{**_AFFINE, "trainsize": "xy"}, _NORMALIZE, _PERMUTE],
    "std of NaN": [_AFFINE, {**_NORMALIZE, "std": [NAN] * 3}, _PERMUTE],
    "mean in words": [_AFFINE, {**_NORMALIZE, "mean": "grey"}, _PERMUTE],
}  # fmt: skip


def spoilt_exports(
    whole: Path, folder: Path, *, every: int = 1, seed: int = 0
) -> Iterator[tuple[str, str, Path]]:
    """Yield the fault, the runtime to try it in, and the folder; ``whole`` is an export in both formats.

    Makes only each ``every``-th of them.
    """
    for runtime, name, spoil in [*_export_faults(whole, seed)][::every]:
        made = Path(shutil.copytree(whole, folder / f"export{len(list(folder.iterdir()))}"))
        spoil(made)
        yield name, runtime, made


def _export_faults(whole: Path, seed: int) -> Iterator[tuple[str, str, Callable[[Path], None]]]:
    settings = [*_SETTINGS, *_other_settings(yaml.safe_load((whole / "infer_cfg.yml").read_text()), seed)]
    for index, (path, value) in enumerate(settings):
        shown = "dropped" if value is DROPPED else str(value)[:30]
        runtime = ("onnxruntime", "openvino", "paddle")[index % 3]
        yield runtime, f"{path}: {shown}", lambda made, p=path, v=value: _edit(made, p, v)
    for name, text in _TEXTS.items():
        yield "auto", f"infer_cfg.yml: {name}", _put("infer_cfg.yml", text)
    for runtime in ("onnxruntime", "openvino"):
        for name, spoil in _onnx_faults((whole / "model.onnx").read_bytes(), seed).items():
            yield runtime, f"model.onnx: {name}", lambda made, s=spoil: _signed(s, made)
    for name, spoil in _paddle_faults(whole, seed).items():
        yield "paddle", f"Paddle: {name}", lambda made, s=spoil: _signed(s, made)
    for name, steps in _STEPS.items():
        yield "paddle", f"PaddleDetection's: {name}", lambda made, s=steps: _become_paddles(made, s)
    for name in ("model.onnx", "model.json", "model.pdiparams", "infer_cfg.yml"):
        yield "auto", f"without {name}", lambda made, n=name: (made / n).unlink()
        yield "auto", f"{name} of one byte more", _put(name, (whole / name).read_bytes() + b"\0")


def _other_settings(cfg: dict[str, Any], seed: int) -> Iterator[tuple[str, Any]]:
    """Yield random keys with random values."""
    paths, left = [], [("", cfg)]
    while left:
        path, block = left.pop()
        for key, value in block.items() if isinstance(block, dict) else enumerate(block):
            paths.append(f"{path}{key}")
            if isinstance(value, dict | list):
                left.append((f"{path}{key}.", value))
    rng = np.random.default_rng(seed)
    for _ in range(tries(12)):
        path = paths[rng.integers(len(paths))]
        if not path.startswith("files."):
            yield path, _VALUES[rng.integers(len(_VALUES))]


def _onnx_faults(content: bytes, seed: int) -> dict[str, Callable[[Path], None]]:
    faults: dict[str, Callable[[Path], None]] = {
        "empty": _put("model.onnx", b""),
        "text": _put("model.onnx", b"<html>not found</html>"),
        "two keypoints more": lambda made: _write_maps(made, (4, 24, 16)),
        "larger maps": lambda made: _write_maps(made, (2, 48, 32)),
        "no maps": lambda made: _write_maps(made, (34,)),
        "NaN": lambda made: _write_maps(made, (2, 24, 16), NAN),
        "infinity": lambda made: _write_maps(made, (2, 24, 16), INF),
        "another input": lambda made: _write_maps(made, (2, 24, 16), size=(32, 32)),
        "an input of bytes": lambda made: _write_maps(made, (2, 24, 16), dtype=TensorProto.UINT8),
        "two inputs": lambda made: _write_maps(made, (2, 24, 16), inputs=("image", "scale_factor")),
        "other names": lambda made: _write_maps(made, (2, 24, 16), inputs=("x",), output="y"),
        "a detector": lambda made: _write_maps(made, (84, 6)),
        "NaN weights": lambda made: _fill(made / "model.onnx", NAN),
        "huge weights": lambda made: _fill(made / "model.onnx", 3e38),
    }
    spoilt = _cut(content, (0.1, 0.5, 0.95)) | _mutated(content, 5, seed)
    spoilt |= {f"other nodes {number}": change_nodes(content, seed + number) for number in range(12)}
    return faults | {name: _put("model.onnx", data) for name, data in spoilt.items()}


def _paddle_faults(whole: Path, seed: int) -> dict[str, Callable[[Path], None]]:
    graph, weights = ((whole / name).read_bytes() for name in ("model.json", "model.pdiparams"))
    faults: dict[str, Callable[[Path], None]] = {
        "NaN weights": lambda made: _save_paddle(made, filters=2, value=NAN),
        "more keypoints": lambda made: _save_paddle(made, filters=3),
        "larger maps": lambda made: _save_paddle(made, filters=2, stride=2),
        "another input": lambda made: _save_paddle(made, filters=2, size=(32, 32)),
        "others' weights": lambda made: _save_paddle(made, filters=5, only="model.pdiparams"),
    }
    texts = (b"", b"{}", b"[]", b"0", b'{"base_code": 1}', b"\xff\xfe")
    spoilt = (
        {f"is {text!r}": text for text in texts} | _cut(graph, (0.0, 0.3, 0.9)) | _mutated(graph, 3, seed)
    )
    spoilt |= {f"other values {number}": change_values(graph, seed + number) for number in range(12)}
    faults |= {f"model.json: {name}": _put("model.json", data) for name, data in spoilt.items()}
    spoilt = _cut(weights, (0.0, 0.3, 0.9)) | _mutated(weights, 3, seed)
    return faults | {f"weights: {name}": _put("model.pdiparams", data) for name, data in spoilt.items()}


def _put(name: str, content: bytes) -> Callable[[Path], None]:
    """Return a function that writes this content to that file of an export."""

    def write(made: Path) -> None:
        (made / name).write_bytes(content)

    return write


def _cut(content: bytes, shares: Sequence[float]) -> dict[str, bytes]:
    return {f"cut at {share}": content[: int(len(content) * share)] for share in shares}


def _mutated(content: bytes, count: int, seed: int) -> dict[str, bytes]:
    return {f"mutation {number}": data for number, data in enumerate(mutate([content], count, seed))}


def _edit(folder: Path, path: str, value: Any) -> None:
    """Set a value in infer_cfg.yml, by the path of its keys, or drop it."""
    cfg = yaml.safe_load((folder / "infer_cfg.yml").read_text())
    keys = [path] if path.startswith("files.") else path.split(".")
    *parents, last = [int(key) if key.isdecimal() else key for key in keys]
    block: Any = cfg
    for key in parents:
        block = block[key]
    if path.startswith("files."):
        cfg["files"] = dict.fromkeys(cfg["files"], value)
    elif value is DROPPED:
        del block[last]
    else:
        block[last] = copy.deepcopy(value)
    (folder / "infer_cfg.yml").write_text(yaml.safe_dump(cfg, sort_keys=False))


def _become_paddles(folder: Path, steps: Any) -> None:
    """Write settings as PaddleDetection does for a keypoint network."""
    cfg = {"arch": "HRNet", "metric": "KeyPointTopDownCOCOEval", "Preprocess": steps}
    (folder / "infer_cfg.yml").write_text(yaml.safe_dump(cfg))


def _signed(spoil: Callable[[Path], None], folder: Path) -> None:
    """Corrupt files, and write their new checksums to infer_cfg.yml."""
    spoil(folder)
    cfg = yaml.safe_load((folder / "infer_cfg.yml").read_text())
    cfg["files"] = {name: file_digest(folder / name) for name in cfg["files"]}
    (folder / "infer_cfg.yml").write_text(yaml.safe_dump(cfg, sort_keys=False))


def _write_maps(
    folder: Path,
    shape: tuple[int, ...],
    value: float = 0.5,
    *,
    size: tuple[int, int] = (64, 96),
    inputs: tuple[str, ...] = ("image",),
    output: str = "heatmaps",
    dtype: int = TensorProto.FLOAT,
) -> None:
    """Write a graph that gives the same maps for every image."""
    maps = np.full(shape, value, np.float32)
    file = write_detector(folder / "model.onnx", [maps], size=size, batch="N", inputs=inputs, dtype=dtype)
    model = onnx.load(file)
    model.graph.node.append(helper.make_node("Identity", ["o0"], [output]))
    model.graph.output[0].name = output
    onnx.save(model, file)


def _fill(file: Path, value: float) -> None:
    """Set the weights of a graph."""
    model = onnx.load(file)
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t) * 0 + value))
    for constant in model.graph.initializer:
        if constant.data_type == TensorProto.FLOAT:
            array = np.full_like(numpy_helper.to_array(constant), value)
            constant.CopyFrom(numpy_helper.from_array(array, constant.name))
    onnx.save(model, file)


def _save_paddle(
    folder: Path,
    *,
    filters: int,
    value: float = 0.01,
    stride: int = 4,
    size: tuple[int, int] = (64, 96),
    only: str | None = None,
) -> None:
    """Replace the folder's network, or one of its files, by one convolution in Paddle's format."""
    conv = paddle.nn.Conv2D(3, filters, 7, stride=stride, padding=3, bias_attr=False)
    conv.weight.set_value(np.full(conv.weight.shape, value, np.float32))
    spec = paddle.static.InputSpec([None, 3, size[1], size[0]], "float32", "image")
    made = folder / "made"
    paddle.jit.save(paddle.jit.to_static(conv, [spec], full_graph=True), str(made / "model"))
    for name in [only] if only else ["model.json", "model.pdiparams"]:
        (made / name).replace(folder / name)
    shutil.rmtree(made)
