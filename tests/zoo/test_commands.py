"""`ppose predict photo.jpg`, `ppose models`, and names where a model or its weights are asked for."""

import hashlib
import json

import cv2
import numpy as np
import pytest
from archive_files import write_zip
from detector_export import write_detector
from runs import assert_one_line

from ppose.commands.eval import find_config_of
from ppose.weights.registry import list_models, mirror_path
from ppose.zoo.exports import exports_folder

PERSON = [40, 30, 120, 190]  # the first of `crowd`


@pytest.fixture
def run(call_ppose, monkeypatch, tmp_path):
    """`ppose` in this process, in a folder with a photo of two people."""
    monkeypatch.chdir(tmp_path)
    return call_ppose


@pytest.fixture
def photo(crowd, tmp_path):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "photo.png"), crowd[0][..., ::-1])
    return tmp_path / "in" / "photo.png"


@pytest.fixture
def ready(colours, put_export):
    """The network is exported already."""
    colours.fetch()
    put_export(colours)
    return ["--model", "colours", "--runtime", "onnxruntime"]


@pytest.fixture
def finder(publish, tmp_path, monkeypatch):
    """A published detector, which is the default one: it finds the first person alone."""
    folder = write_detector(tmp_path / "det", PERSON)
    members = {f"det/{path.name}": path.read_bytes() for path in folder.iterdir()}
    content = write_zip(tmp_path / "det.zip", members).read_bytes()
    monkeypatch.setattr("ppose.commands.predict.DEFAULT_DETECTOR", "finder")
    monkeypatch.setattr("ppose.zoo.detectors.can_make", lambda form: False)  # ONNX of it, which takes seconds
    return publish("finder", content, kind="detector", ending=".zip")


def test_people_are_found_posed_drawn_and_printed(run, ready, finder, photo, crowd, tmp_path):
    result = run("predict", photo, *ready)
    assert result.returncode == 0, result.stderr
    assert "photo.png: 1 person\n  1: from (40, 30) to (120, 190), score " in result.stdout
    assert "ms a person in onnxruntime (preprocess " in result.stdout
    assert cv2.imread(str(tmp_path / "output" / "photo.png")).shape == crowd[0].shape
    (person,) = json.loads((tmp_path / "output" / "keypoints.json").read_text())
    assert person["bbox"] == [40, 30, 80, 160]
    points = np.array(person["keypoints"]).reshape(-1, 3)
    np.testing.assert_allclose(points[:, :2], crowd[1][0], atol=4)
    # The lines of Python give the same.
    lines = [line.strip() for line in result.stdout.partition("The same in Python:\n")[2].splitlines()]
    assert len(lines) == 3
    assert lines[1] == "predictor = ppose.Predictor('colours', detector='finder', runtime='onnxruntime')"
    names: dict = {}
    exec("\n".join(lines), names)
    np.testing.assert_allclose(names["poses"][0].keypoints, points[:, :2], atol=1e-4)


def test_without_people_the_next_step_is_printed(run, ready, finder, photo):
    result = run("predict", photo, *ready, "--det_threshold", "0.95")
    assert result.returncode == 0, result.stderr
    assert "photo.png: no people\nNobody was found." in result.stdout
    assert "--det_threshold 0.2" in result.stdout
    assert run("predict", photo, *ready, "--detector", "none").stdout.count("photo.png: 1 person\n") == 1


def test_a_folder_and_a_video_by_what_they_are(run, ready, finder, photo, tmp_path):
    result = run("predict", photo.parent, *ready)
    assert "photo.png: 1 person" in result.stdout
    (tmp_path / "walk.MP4").write_bytes(b"")
    assert_one_line(run("predict", tmp_path / "walk.MP4", *ready), "video is empty")
    assert_one_line(run("predict", tmp_path / "absent.jpg", *ready), "absent.jpg")


def test_a_photo_that_is_not_there_costs_no_download(run, colours, server, photo):
    server.stop()
    assert_one_line(run("predict", photo.with_name("absent.jpg"), "--model", "colours"), "image not found: ")


def test_a_server_of_a_model_by_name_finds_people(run, ready, finder, server, monkeypatch):
    monkeypatch.setattr("ppose.commands.serve.DEFAULT_DETECTOR", "finder")
    server.stop()
    assert_one_line(run("serve", *ready), "cannot download", "--detector none treats an image as one person")


def test_no_detector_to_be_had(run, ready, finder, photo, server):
    server.stop()
    result = run("predict", photo, *ready)
    assert_one_line(result, "cannot download", "ppose models unpack", "--boxes FILE", "--detector none")


def test_names_that_are_none(run, photo):
    result = run("predict", photo, "--model", "tinypos_256x192")
    assert_one_line(result, "'tinypos_256x192'; did you mean 'tinypose_256x192'? `ppose models`")
    result = run("predict", photo, "--model", "no/such/folder")
    assert_one_line(result, "there is no no/such/folder: expected a folder, or a name of `ppose models`")
    result = run("eval", "--model", "tinypose_256x19")
    assert_one_line(result, "did you mean 'tinypose_256x192'")
    assert "or --model with a name" in run("eval").stderr
    assert_one_line(run("models", "tinypose_128x9"), "did you mean 'tinypose_128x96'")


def test_a_names_config_is_that_of_its_evaluation(tmp_path):
    assert find_config_of("lite_hrnet_30_256x192_coco_dist") == "lite_hrnet_30_256x192_coco"
    assert find_config_of(str(tmp_path)) is None
    assert find_config_of(None) is None


def test_models_are_listed_and_shown(run, colours, put_export):
    result = run("models")
    for name in list_models():
        assert f"\n{name} " in result.stdout
    shown = run("models", "colours").stdout
    assert "here        not yet" in shown
    path = colours.fetch()
    folder = put_export(colours)
    shown = run("models", "colours").stdout
    for words in (colours.url, colours.sha256, str(path), str(folder), "AP 1 (the tests, README)"):
        assert words in shown
    assert run("models", "one", "two").returncode == 2
    assert run("models", "unpack").returncode == 2
    assert run("models", "colours", "-o", "x.zip").returncode == 2


def test_a_pack_needs_no_network_on_the_other_machine(
    run, ready, finder, photo, server, tmp_path, monkeypatch
):
    result = run("models", "pack", "colours", "finder", "-o", "m.zip")
    assert result.returncode == 0, result.stderr
    (exported,) = [path.name for path in exports_folder().iterdir() if path.is_dir()]
    assert f"colours: colours.pdparams, {exported}" in result.stdout
    assert "m.zip: 0." in result.stdout
    server.stop()
    monkeypatch.setenv("PPOSE_HOME", str(tmp_path / "other machine"))
    result = run("models", "unpack", "m.zip")
    assert f"colours: colours.pdparams, {exported}" in result.stdout
    assert "finder: finder.zip, finder-" in result.stdout
    assert "photo.png: 1 person" in run("predict", photo, *ready).stdout
    assert run("models", "unpack", "m.zip").returncode == 0  # again


def test_packs_that_are_not_as_they_were(run, ready, server, tmp_path, monkeypatch):
    run("models", "pack", "colours", "-o", "m.zip")
    monkeypatch.setenv("PPOSE_HOME", str(tmp_path / "other machine"))
    listed = list_models()["colours"]
    path = mirror_path(listed.url)
    others = hashlib.sha256(b"others").hexdigest()
    wrong = {"models.json": json.dumps({"colours": {path: others}}).encode(), path: b"others"}
    for members, words in (
        (wrong, "or differ from the packed or published"),
        ({**wrong, path: b"changed"}, "or differ from the packed or published"),
        ({"models.json": wrong["models.json"]}, "files of colours are missing"),
        ({"models.json": b'{"colours": {}}'}, "files of colours are missing"),
        ({"a.txt": b""}, "is no archive of `ppose models pack`"),
        ({"models.json": b"[]"}, "is no archive of `ppose models pack`"),
        ({"models.json": b"{"}, "not a JSON file"),
        ({"../evil": b""}, "lies outside of it"),
    ):
        write_zip(tmp_path / "bad.zip", members)
        assert_one_line(run("models", "unpack", "bad.zip"), words)
    (tmp_path / "bad.zip").write_bytes((tmp_path / "m.zip").read_bytes()[:1000])
    assert_one_line(run("models", "unpack", "bad.zip"), "bad.zip is damaged")
    assert not exports_folder().exists()
    write_zip(tmp_path / "new.zip", {"models.json": b'{"tomorrows": {}}'})
    assert "tomorrows: skipped" in run("models", "unpack", "new.zip").stdout
    assert_one_line(run("models", "unpack", "absent.zip"), "absent.zip")


def test_a_full_disk_is_one_line_with_the_way_out(run, colours, photo, monkeypatch):
    import errno

    from ppose.weights import receive

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(receive.os, "fsync", full)
    result = run("predict", photo, "--model", "colours", "--runtime", "paddle", "--detector", "none")
    assert_one_line(result, "No space left on device", "free some space, or set PPOSE_HOME")
