"""Makes corrupt detectors in all formats from small valid ones."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import paddle
import yaml
from inference.constant_graphs import write_detector
from onnx import TensorProto
from robustness.changed_graphs import change_numbers
from robustness.corpus import mutate

NAN, INF = float("nan"), float("inf")
_INPUTS = ("image", "im_shape", "scale_factor")
_RESIZE = {"type": "Resize", "target_size": [64, 64], "keep_ratio": False, "interp": 2}
_NORMALIZE = {"type": "NormalizeImage", "mean": [0, 0, 0], "std": [1, 1, 1], "is_scale": True}
_PERMUTE = {"type": "Permute"}
_WHOLE = {"arch": "GFL", "Preprocess": [_RESIZE, _NORMALIZE, _PERMUTE], "label_list": ["person"]}


def _yolo(value: float = 0.5, rows: int = 84, columns: int = 5) -> np.ndarray:
    output = np.full((columns, rows), 0.0, np.float32)
    output[:4], output[4:, 0] = 20.0, value
    return output


def spoilt_detectors(
    whole: Path, folder: Path, *, every: int = 1, seed: int = 0
) -> Iterator[tuple[str, Path]]:
    """Yield the fault and the folder; ``whole`` is an exported keypoint network.

    Makes only each ``every``-th of them.
    """
    for name, spoil in [*_settings(), *_graphs(seed), *_paddle_files(whole, seed)][::every]:
        made = folder / f"detector{len(list(folder.iterdir()))}"
        made.mkdir()
        spoil(made)
        yield name, made


def _settings() -> Iterator[tuple[str, Any]]:
    """Corrupt settings beside a valid graph."""
    steps: dict[str, Any] = {
        "no steps": [], "no list": "Resize", "no mapping": [5], "unknown": [{"type": "Mosaic"}],
        "a type that is none": [{"type": [1]}], "no Permute": [_RESIZE],
        "Permute twice": [_PERMUTE, _PERMUTE],
        "a size of 0": [{**_RESIZE, "target_size": [0, 64]}, _PERMUTE],
        "a size of 10^9": [{**_RESIZE, "target_size": 10**9}, _PERMUTE],
        "a size of NaN": [{**_RESIZE, "target_size": [NAN, 64]}, _PERMUTE],
        "a size in words": [{**_RESIZE, "target_size": "large"}, _PERMUTE],
        "another size": [{**_RESIZE, "target_size": [32, 32]}, _PERMUTE],
        "interp 99": [{**_RESIZE, "interp": 99}, _PERMUTE],
        "interp nothing": [{**_RESIZE, "interp": None}, _PERMUTE],
        "std 0": [_RESIZE, {**_NORMALIZE, "std": [0, 0, 0]}, _PERMUTE],
        "mean of two": [_RESIZE, {**_NORMALIZE, "mean": [0, 0]}, _PERMUTE],
        "mean of infinity": [_RESIZE, {**_NORMALIZE, "mean": [INF] * 3}, _PERMUTE],
        "mean in words": [_RESIZE, {**_NORMALIZE, "mean": "grey"}, _PERMUTE],
        "a large stride": [_RESIZE, _PERMUTE, {"type": "PadStride", "stride": 10**9}],
        "a negative stride": [_RESIZE, _PERMUTE, {"type": "PadStride", "stride": -3}],
    }  # fmt: skip
    for name, value in steps.items():
        yield f"Preprocess: {name}", lambda made, v=value: _write_whole(made, {**_WHOLE, "Preprocess": v})
    for value in ([], 5, ["cat", "dog"], [None], [["a"]], ["x" * 10**5] * 3, ["a\nerror: forged\x1b[2J"] * 2):
        yield (
            f"label_list: {str(value)[:20]}",
            lambda made, v=value: _write_whole(made, {**_WHOLE, "label_list": v}),
        )
    for name, change in {
        "no Preprocess": {"arch": "GFL"}, "a keypoint network's": {**_WHOLE, "arch": "HRNet"},
        "nothing": {}, "an arch of a list": {**_WHOLE, "arch": ["GFL"]},
    }.items():  # fmt: skip
        yield f"infer_cfg.yml: {name}", lambda made, c=change: _write_whole(made, c)
    for text in ("", "[]", "{", '{"pipeline": {"tasks": [5]}}', '{"pipeline": NaN}', "[" * 5000):
        yield f"pipeline.json: {text[:20]}", lambda made, t=text: _write_pipeline(made, t)


def _write_whole(folder: Path, cfg: dict[str, Any]) -> None:
    rows = np.array([[0, 0.9, 5, 5, 50, 50]], np.float32)
    boxes, scores = rows[:, 2:], rows[:, 1:2]
    write_detector(folder / "model.onnx", [boxes, scores.T], inputs=_INPUTS)
    (folder / "infer_cfg.yml").write_text(yaml.safe_dump(cfg))


def _write_pipeline(folder: Path, text: str) -> None:
    rows = np.array([[5, 5, 50, 50, 0.9]], np.float32)
    write_detector(folder / "end2end.onnx", [rows, np.array([0])])
    (folder / "pipeline.json").write_text(text)


def _graphs(seed: int) -> Iterator[tuple[str, Any]]:
    """Corrupt graphs without settings."""
    shapes: dict[str, tuple[list[np.ndarray], dict[str, Any]]] = {
        "scores of NaN": ([_yolo(NAN)], {}), "scores of infinity": ([_yolo(INF)], {}),
        "boxes of NaN": ([_yolo() * NAN], {}), "boxes of 1e38": ([np.where(_yolo() == 20, 1e38, 0.9)], {}),
        "rows of another size": ([_yolo(rows=85)], {}), "no classes": ([_yolo(columns=4)], {}),
        "seven classes": ([_yolo(columns=11)], {}), "eighty classes": ([_yolo(columns=84)], {}),
        "a number": ([np.zeros(1)], {}), "maps": ([np.zeros((17, 16, 16))], {}),
        "two outputs": ([_yolo(), _yolo()], {}), "a count that is wrong": (
            [np.array([99]), np.zeros((3, 4)), np.zeros(3), np.zeros(3, int)], {}),
        "a negative count": ([np.array([-9]), np.zeros((3, 4)), np.zeros(3), np.zeros(3, int)], {}),
        "a large input": ([_yolo()], {"size": (100_000, 64)}), "a small input": ([_yolo()], {"size": (1, 1)}),
        "a large batch": ([_yolo()], {"batch": 10**6}), "no batch": ([_yolo()], {"batch": 0}),
        "two unknown inputs": ([_yolo()], {"inputs": ("a", "b")}),
        "an input of texts": ([_yolo()], {"dtype": TensorProto.STRING}),
        "names that are none": ([_yolo()], {"metadata": {"names": "[" * 9999, "imgsz": "NaN"}}),
        "a size that is none": ([_yolo()], {"size": ("w", "h"), "metadata": {"imgsz": "[-1, 1e9]"}}),
    }  # fmt: skip
    for name, (outputs, options) in shapes.items():
        yield name, lambda made, o=outputs, k=options: write_detector(made / "yolox.onnx", o, **k)
    for number in range(6):
        yield f"yolo.onnx, mutation {number}", lambda made, n=number: _mutate_onnx(made, seed + n)
    for share in (0, 0.4, 0.9):
        yield f"yolo.onnx, cut at {share}", lambda made, s=share: _cut_onnx(made, s)
    yield "OpenVINO: whole", _save_openvino
    yield "OpenVINO: without weights", lambda made: (_save_openvino(made), (made / "yolo.bin").unlink())
    for share in (0, 0.5):
        yield f"OpenVINO: weights cut at {share}", lambda made, s=share: _cut_openvino(made, s)
    for number in range(12):
        yield f"OpenVINO: mutation {number}", lambda made, n=number: _mutate_openvino(made, seed + n)
    yield "two graphs", lambda made: [write_detector(made / f"{n}.onnx", [_yolo()]) for n in "ab"]
    yield "nothing", lambda made: None
    yield "an .xml that is none", lambda made: (made / "a.xml").write_text("<net name='a'></net>")
    yield "an .xml without weights", lambda made: (made / "a.xml").write_text("<?xml version='1.0'?><net/>")


def _mutate_onnx(folder: Path, seed: int) -> None:
    file = write_detector(folder / "yolo.onnx", [_yolo()])
    file.write_bytes(next(mutate([file.read_bytes()], 1, seed)))


def _cut_onnx(folder: Path, share: float) -> None:
    file = write_detector(folder / "yolo.onnx", [_yolo()])
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def _save_openvino(folder: Path) -> None:
    file = write_detector(folder / "yolo.onnx", [_yolo(0.9)])
    openvino.save_model(openvino.convert_model(file), folder / "yolo.xml")
    file.unlink()


def _cut_openvino(folder: Path, share: float) -> None:
    _save_openvino(folder)
    content = (folder / "yolo.bin").read_bytes()
    (folder / "yolo.bin").write_bytes(content[: int(len(content) * share)])


def _mutate_openvino(folder: Path, seed: int) -> None:
    _save_openvino(folder)
    content = (folder / "yolo.xml").read_bytes()
    spoilt = next(mutate([content], 1, seed)) if seed % 4 == 0 else change_numbers(content, seed)
    (folder / "yolo.xml").write_bytes(spoilt)


def _paddle_files(whole: Path, seed: int) -> Iterator[tuple[str, Any]]:
    """PaddleDetection's folders, and such with files of a keypoint network."""
    for name, changes in {
        "whole": {}, "rows of five": {"columns": 5}, "a wrong count": {"counts": [3, 9]},
        "NaN": {"score": NAN}, "a negative count": {"counts": [-3, 4]},
    }.items():  # fmt: skip
        yield f"Paddle: {name}", lambda made, c=changes: _save_paddle(made, **c)
    yield "Paddle: without weights", lambda made: (_save_paddle(made), (made / "model.pdiparams").unlink())
    yield "Paddle: without graph", lambda made: (_save_paddle(made), (made / "model.json").unlink())
    for name in ("model.json", "model.pdiparams"):
        for number in range(2):
            yield (
                f"Paddle: {name}, mutation {number}",
                lambda made, n=name, s=number: _mutate_paddle(made, n, seed + s),
            )
    yield "an export of keypoints", lambda made: shutil.copytree(whole, made, dirs_exist_ok=True)
    yield "a graph of keypoints", lambda made: (_save_paddle(made), *_copy_graph(whole, made))
    yield "Paddle 2's graph of a text", lambda made: (
        _save_paddle(made), (made / "model.json").unlink(), (made / "model.pdmodel").write_bytes(b"x" * 99),
    )  # fmt: skip


def _copy_graph(whole: Path, folder: Path) -> list[str]:
    return [str(shutil.copy(whole / name, folder)) for name in ("model.json", "model.pdiparams")]


def _mutate_paddle(folder: Path, name: str, seed: int) -> None:
    _save_paddle(folder)
    (folder / name).write_bytes(next(mutate([(folder / name).read_bytes()], 1, seed)))


class _Detector(paddle.nn.Layer):
    def __init__(self, columns: int, counts: tuple[int, ...], score: float) -> None:
        super().__init__()
        row = np.array([[0, score, 5, 5, 50, 50]], np.float32)[:, :columns]
        self.rows = self.create_parameter(row.shape, default_initializer=paddle.nn.initializer.Assign(row))
        self.counts = counts

    def forward(self, image: Any, scale_factor: Any) -> Any:
        rows = self.rows + 0 * image.mean() + 0 * scale_factor.mean()
        return rows, paddle.to_tensor(self.counts, "int32")


def _save_paddle(
    folder: Path, *, columns: int = 6, counts: tuple[int, ...] = (1,), score: float = 0.9
) -> None:
    spec = [
        paddle.static.InputSpec([None, 3, 64, 64], "float32", "image"),
        paddle.static.InputSpec([None, 2], "float32", "scale_factor"),
    ]
    network = paddle.jit.to_static(_Detector(columns, counts, score), spec, full_graph=True)
    paddle.jit.save(network, str(folder / "model"))
    (folder / "infer_cfg.yml").write_text(json.dumps(_WHOLE))
