"""Models by name, as commands and in Python: fetched once, exported once, and run from then on."""

import multiprocessing
import os
import shutil

import numpy as np
import pytest
from archive_files import write_zip

import ppose
from ppose.engine.task import Task
from ppose.errors import ConfigError, DataError, ExportError
from ppose.weights.checkpoint import save_weights
from ppose.workspace import load_config
from ppose.zoo import exports
from ppose.zoo.detectors import find_detector
from ppose.zoo.exports import find_export, find_folder, list_exports

SMALL = "synthetic_lite_hrnet"


@pytest.fixture
def no_paddle(monkeypatch):
    """As where Paddle is not installed."""
    find = exports.importlib.util.find_spec

    def find_others(name, *rest):
        return None if name == "paddle" else find(name, *rest)

    monkeypatch.setattr(exports.importlib.util, "find_spec", find_others)


def test_a_predictor_of_a_name(colours, put_export, crowd):
    folder = put_export(colours)
    colours.fetch()
    assert find_folder("colours", "onnxruntime") == folder
    image, keypoints, boxes = crowd
    predictor = ppose.Predictor("colours", "onnxruntime", batch_size=1)
    for pose, expected in zip(predictor(image, boxes), keypoints, strict=True):
        np.testing.assert_allclose(pose.keypoints, expected, atol=4)
    assert find_folder(folder) == folder
    assert len(ppose.Predictor(folder, "onnxruntime")(image)) == 1
    with pytest.raises(ConfigError, match="would have no effect"):
        ppose.Predictor(predictor.spec, predictor._runtime, cpu_threads=1)
    with pytest.raises(ConfigError, match="goes with the name of a runtime"):
        ppose.Predictor("colours", predictor._runtime)


def test_an_export_by_other_versions_will_do_where_there_is_no_paddle(colours, put_export, no_paddle, caplog):
    with pytest.raises(ExportError, match=r"pip install 'ppose\[paddle,onnx\]'.*ppose models pack colours"):
        find_export(colours, "onnxruntime")
    colours.fetch()
    other = put_export(colours, version="0.0.1")
    assert find_export(colours, "onnxruntime") == other
    assert "made by other versions" in caplog.text
    now = put_export(colours)
    assert find_export(colours, "onnxruntime") == now


def test_what_is_damaged_or_of_other_weights_is_no_export(colours, put_export, no_paddle):
    colours.fetch()
    folder = put_export(colours)
    (folder / "model.onnx").write_bytes(b"half")
    with pytest.raises(ExportError):
        find_export(colours, "onnxruntime")
    shutil.rmtree(folder)
    put_export(colours, weights=b"others")
    with pytest.raises(ExportError):
        find_export(colours, "onnxruntime")
    assert list_exports(colours) == []


@pytest.mark.parametrize("inner", ["picodet/", ""])
def test_a_detector_by_name_is_unpacked_once(publish, server, tmp_path, inner):
    members = {f"{inner}infer_cfg.yml": b"Preprocess: []\n", f"{inner}model.pdiparams": b"w"}
    archive = write_zip(tmp_path / "a.zip", members).read_bytes()
    publish("finder", archive, kind="detector", ending=".zip")
    folder = find_detector("finder")
    assert sorted(path.name for path in folder.iterdir()) == ["infer_cfg.yml", "model.pdiparams"]
    server.stop()
    assert find_detector("finder") == folder
    assert find_detector(tmp_path) == tmp_path
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".")]


def test_an_archive_without_a_detector_is_one_line(publish, tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"readme.txt": b""}).read_bytes()
    publish("finder", archive, kind="detector", ending=".zip")
    with pytest.raises(DataError, match="holds no detector"):
        find_detector("finder")


@pytest.fixture
def trained(publish, tmp_path):
    """A published network that can be exported: a small one, with the weights that it starts with."""
    save_weights(Task(load_config(SMALL)).model(), tmp_path / "w.pdparams")
    return publish("small", (tmp_path / "w.pdparams").read_bytes(), config=SMALL)


def test_a_network_is_exported_once(trained, server):
    folder = find_export(trained, "paddle")
    assert "-paddle-ppose" in folder.name
    made = (folder / "infer_cfg.yml").stat().st_mtime_ns
    server.stop()
    assert find_export(trained, "paddle") == folder
    assert (folder / "infer_cfg.yml").stat().st_mtime_ns == made
    assert len(ppose.Predictor("small", "paddle")(np.zeros((64, 128, 3), np.uint8))) == 1


@pytest.mark.heavy
@pytest.mark.parametrize(("runtime", "form"), [("paddle", "paddle"), ("onnxruntime", "onnx")])
def test_another_version_exports_anew(trained, monkeypatch, runtime, form):
    folder = find_export(trained, runtime)
    monkeypatch.setattr(exports, "_find_version", lambda package: "9.8")
    newer = find_export(trained, runtime)
    monkeypatch.setattr(exports, "VERSION", "9.9")
    newest = find_export(trained, runtime)
    assert folder.name.startswith(f"small-{form}-ppose")
    assert newest.name == f"small-{form}-ppose9.9-{runtime}9.8"
    assert len({folder, newer, newest}) == 3
    assert list_exports(trained) == [newest]


def _export(model, barrier, results):
    barrier.wait(60)
    results.put((str(find_export(model, "paddle")), os.getpid()))


@pytest.mark.heavy
def test_processes_at_the_same_time_export_once(trained, server):
    context = multiprocessing.get_context("spawn")
    results, barrier = context.Queue(), context.Barrier(2)
    processes = [context.Process(target=_export, args=(trained, barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    found = {results.get(timeout=240)[0] for _ in processes}
    for process in processes:
        process.join()
    assert len(found) == 1
    assert len(server.asked) == 1
