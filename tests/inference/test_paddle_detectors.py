"""Folders of detectors as PaddleDetection and PaddleX write them."""

import shutil
from unittest.mock import Mock

import numpy as np
import pytest
import yaml
from inference.constant_graphs import write_detector

from ppose.errors import ConfigError, DataError
from ppose.inference.detectors.choice import open_detector
from ppose.inference.runtimes import openvino_graph
from ppose.transforms import read_image


def test_a_detector_as_paddlex_writes_it(reference, tmp_path, monkeypatch):
    """PaddleDetection's own PicoDet under the other names, in OpenVINO and in Paddle: the same people."""
    published = reference / "data" / "detectors" / "picodet_s_192_lcnet_pedestrian"
    for file in published.iterdir():
        name = "inference.yml" if file.name == "infer_cfg.yml" else f"inference{file.suffix}"
        shutil.copy(file, tmp_path / name)
    files = sorted((reference / "data" / "coco_dev" / "images").iterdir())[:4]
    images = [read_image(file) for file in files]
    detectors = [open_detector(folder, cpu_threads=1) for folder in (published, tmp_path)]
    monkeypatch.setattr(openvino_graph, "OpenVinoGraph", Mock(side_effect=DataError("an unknown operator")))
    detectors.append(open_detector(published, cpu_threads=1))
    assert [each._graph.name for each in detectors] == ["openvino", "openvino", "paddle"]
    found = [np.concatenate([each.bboxes_xyxy for each in one.detect(images)]) for one in detectors]
    assert len(found[0]) >= 4
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=0.01)


def test_pp_yoloe_without_its_post_processing(crowd, tmp_path):
    """Boxes and scores in one output, as large as YOLOX's of one class fewer, which it is not."""
    found = np.zeros((8 * 8 + 4 * 4 + 2 * 2, 4 + 2), np.float32)
    found[:, 2:4] = 1
    found[5], found[9] = [10, 5, 30, 50, 0.1, 0.9], [20, 10, 40, 60, 0.8, 0.2]
    write_detector(tmp_path / "model.onnx", [found], inputs=("image",))
    cfg = {
        "arch": "PPYOLOE",
        "Preprocess": [{"type": "Resize", "target_size": [64, 64], "keep_ratio": False}, {"type": "Permute"}],
        "label_list": ["car", "person"],
    }
    (tmp_path / "infer_cfg.yml").write_text(yaml.safe_dump(cfg))
    detector = open_detector(tmp_path, runtime="onnxruntime", cpu_threads=1)
    scale = np.tile([320 / 64, 240 / 64], 2)
    np.testing.assert_allclose(detector(crowd[0]), [found[5, :4] * scale], rtol=1e-5)
    for doubled in ("Resize", "Permute"):
        steps = [*cfg["Preprocess"], next(step for step in cfg["Preprocess"] if step["type"] == doubled)]
        (tmp_path / "infer_cfg.yml").write_text(yaml.safe_dump({**cfg, "Preprocess": steps}))
        with pytest.raises(ConfigError, match=f"{doubled} is listed twice, expected each step once"):
            open_detector(tmp_path)
