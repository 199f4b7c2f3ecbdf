"""The list of published models, and where their files come from."""

import hashlib
import importlib.util
from pathlib import Path

import pytest

from ppose.errors import CheckpointError, ConfigError, DownloadError
from ppose.keypoints import BUILTIN_SETS
from ppose.weights.checkpoint import find_weights
from ppose.weights.registry import find_model, list_models, mirror_path
from ppose.workspace.config import BUILTIN
from ppose.zoo import DEFAULT_DETECTOR, DEFAULT_POSE

DOCS = Path(__file__).resolve().parents[2] / "docs"
spec = importlib.util.spec_from_file_location("make_models", DOCS / "make_models.py")
make_models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_models)
POSES = [model for model in list_models().values() if model.kind == "pose"]


def test_the_list_is_sound():
    models = list_models().values()
    assert len({model.url for model in models}) == len(models)
    for model in models:
        assert model.url.startswith("https://")
        assert model.sha256 is None or (len(model.sha256) == 64 and model.size)
    for model in POSES:
        assert (BUILTIN / f"{model.config}.yml").is_file()
        assert model.keypoints in BUILTIN_SETS
    assert list_models()[DEFAULT_POSE].kind == "pose"
    assert list_models()[DEFAULT_DETECTOR].kind == "detector"


def test_sizes_are_those_of_the_page_of_configs():
    """Which are measured, and tested, there."""
    sizes = make_models.read_sizes(make_models.PAGE.read_text())
    for model in POSES:
        size, keypoints, parameters, macs, _ = sizes[model.config]
        assert (model.input, model.keypoints) == (size, keypoints)
        assert f"{model.parameters:.2f} M" == parameters
        assert f"{model.macs:.3f} G" == macs


def test_every_checkpoint_of_the_reference_is_listed(reference):
    """Of the networks that are here; sizes and checksums are those of the files there are."""
    listed = {model.url: model for model in list_models().values()}
    others = ("petr", "higherhrnet", "vitpose", "ppyolov2", "_lite.tar", "/picodet_", "/tinypose_")
    for line in (reference / "reference" / "zoo.tsv").read_text().splitlines():
        url = line.split("\t")[-1]
        if not line.startswith("#") and url.endswith(".pdparams") and not any(name in url for name in others):
            assert url in listed
    for path in (reference / "data" / "weights").iterdir():
        model = listed[f"https://bj.bcebos.com/v1/paddledet/models/keypoint/{path.name}"]
        assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert model.size == path.stat().st_size


def test_an_unknown_name_is_one_line_with_the_nearest_and_the_way_on():
    with pytest.raises(ConfigError, match=r"x129'; did you mean 'tinypose_256x192'\? `ppose models` lists"):
        find_model("tinypose_256x129", "pose")
    with pytest.raises(
        ConfigError, match=r"'hrnet_w32'; did you mean 'hrnet_w32_256x192' or .*\? `ppose models`"
    ):
        find_model("hrnet_w32", "pose")
    with pytest.raises(ConfigError, match=f"'{DEFAULT_DETECTOR}' is a detector model"):
        find_model(DEFAULT_DETECTOR, "pose")
    with pytest.raises(ConfigError, match="there is no some/folder"):
        find_model("some/folder", "pose")
    with pytest.raises(CheckpointError, match=r"tried .*did you mean 'tinypose_256x192'"):
        find_weights("tinypose_256x19")


def test_weights_by_name_and_by_url_are_the_same_file(server, monkeypatch, tmp_path):
    model = list_models()["hrnet_w32_384x288"]
    server.files[mirror_path(model.url)] = b"weights"
    monkeypatch.setenv("PPOSE_MIRROR", f"{server.url}/some/where/")
    server.files[f"some/where/{mirror_path(model.url)}"] = server.files.pop(mirror_path(model.url))
    path = find_weights(model.name)
    assert path.read_bytes() == b"weights"
    assert server.paths == ["/some/where/paddledet.bj.bcebos.com/models/keypoint/hrnet_w32_384x288.pdparams"]
    assert find_weights(model.url) == path
    server.stop()
    assert find_weights(model.name) == path
    # A file of that name goes before.
    monkeypatch.chdir(tmp_path)
    (tmp_path / model.name).write_bytes(b"mine")
    assert find_weights(model.name) == Path(model.name)


def test_a_folder_as_mirror(monkeypatch, tmp_path):
    model = list_models()["hrnet_w32_384x288"]
    file = tmp_path / "paddledet.bj.bcebos.com" / "models" / "keypoint" / "hrnet_w32_384x288.pdparams"
    monkeypatch.setenv("PPOSE_MIRROR", str(tmp_path))
    with pytest.raises(DownloadError, match=f"there is no file {file}"):
        model.fetch()
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert model.fetch() == file
    assert model.digest == hashlib.sha256(b"weights").hexdigest()


def test_without_a_network_the_way_out_is_reported(server, monkeypatch):
    monkeypatch.setenv("PPOSE_MIRROR", server.url)
    server.stop()
    with pytest.raises(DownloadError, match=f"check the files of PPOSE_MIRROR={server.url}, or unset it"):
        list_models()["tinypose_256x192"].fetch()
    monkeypatch.delenv("PPOSE_MIRROR")
    monkeypatch.setenv("HTTPS_PROXY", server.url)  # no test asks a publisher
    with pytest.raises(DownloadError, match=r"ppose models pack tinypose_256x192 .*ppose models unpack"):
        list_models()["tinypose_256x192"].fetch()


def test_the_published_checksum_counts(server, monkeypatch):
    model = list_models()["tinypose_128x96"]
    server.files[mirror_path(model.url)] = b"another file"
    monkeypatch.setenv("PPOSE_MIRROR", server.url)
    with pytest.raises(DownloadError, match=f"expected sha256:{model.sha256} but got"):
        model.fetch()
