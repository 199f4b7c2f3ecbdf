"""docs/serving.md: a Predictor whose network runs on a Triton server, here one that stands in for it."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from ppose.export.triton import write_triton
from ppose.inference.model_folder import read_model_folder

ROOT = Path(__file__).resolve().parent.parent.parent


class _Client:
    """InferenceServerClient, InferInput and InferResult of tritonclient.http, as the page uses them."""

    def __init__(self, name, shape=None, kind=None):
        self.name, self.shape, self.kind = name, shape, kind

    def set_data_from_numpy(self, array):
        assert (list(array.shape), self.kind) == (self.shape, "FP32")
        self.array = array

    def infer(self, model, inputs):
        assert (model, [each.name for each in inputs]) == ("two_colours", ["image"])
        result = _Client("result")
        result.heatmaps = _Client.session.run(["heatmaps"], {"image": inputs[0].array})[0]
        return result

    def as_numpy(self, name):
        return getattr(self, name)


def test_the_pages_client_gives_the_predictors_poses(model_dir, crowd, tmp_path, monkeypatch, predictor):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = write_triton(read_model_folder(model_dir), tmp_path)
    _Client.session = onnxruntime.InferenceSession(
        str(model / "1/model.onnx"), providers=["CPUExecutionProvider"]
    )
    stand_in = types.SimpleNamespace(InferenceServerClient=_Client, InferInput=_Client)
    monkeypatch.setitem(sys.modules, "tritonclient", types.SimpleNamespace(http=stand_in))
    monkeypatch.setitem(sys.modules, "tritonclient.http", stand_in)
    (code,) = re.findall(
        r"```python\n(import tritonclient.*?)```", (ROOT / "docs/serving.md").read_text(), re.DOTALL
    )
    page = {}
    exec(code, page)
    found = page["open_predictor"]("localhost:8000", model)(crowd[0], crowd[2])
    for pose, expected in zip(found, predictor(crowd[0], crowd[2]), strict=True):
        np.testing.assert_allclose(pose.keypoints, expected.keypoints, rtol=1e-5)
