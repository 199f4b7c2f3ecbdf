"""Published models of the tests' own: the server stands for their publishers."""

import hashlib
from dataclasses import replace
from importlib import metadata

import pytest

import ppose
from ppose.inference.model_folder import read_model_folder, write_infer_cfg
from ppose.weights.registry import Model, list_models
from ppose.zoo.exports import exports_folder

PUBLISHER = {"publisher": "the tests", "repository": "here", "page": "README", "licence": "none"}
WEIGHTS = b"the weights of a network" * 1000


@pytest.fixture
def publish(server, monkeypatch):
    """Publishes a file under a name, for this test."""

    def publish(name, content, *, kind="pose", ending=".pdparams", **given):
        path = f"models/{name}{ending}"
        server.files[path] = content
        model = Model(name=name, kind=kind, url=f"{server.url}/{path}", result="AP 1", **PUBLISHER, **given)
        monkeypatch.setitem(list_models(), name, model)
        return model

    return publish


@pytest.fixture
def colours(publish):
    """A published network, for which nothing but its export will do: of the red and the blue disc."""
    return publish("colours", WEIGHTS, config="tinypose_128x96", sha256=hashlib.sha256(WEIGHTS).hexdigest())


@pytest.fixture
def put_export(model_dir):
    """Puts an export of a published network into the cache: the one of the two discs."""

    def put_export(model, weights=WEIGHTS, version=ppose.__version__):
        runtime = f"onnxruntime{metadata.version('onnxruntime')}"
        folder = exports_folder() / f"{model.name}-onnx-ppose{version}-{runtime}"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes((model_dir / "model.onnx").read_bytes())
        exported = read_model_folder(model_dir)
        files = {"model.onnx": exported.files["model.onnx"]}
        digest = hashlib.sha256(weights).hexdigest()
        write_infer_cfg(replace(exported, path=folder, files=files, weights_sha256=digest))
        return folder

    return put_export
