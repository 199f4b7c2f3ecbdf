"""Models by name, as commands and in Python: fetched once, exported once, and run from then on."""

import json
import multiprocessing
import os
import shutil

import cv2
import numpy as np
import pytest
from archive_files import write_zip

import ppose
from ppose.engine.task import Task
from ppose.errors import ConfigError, DataError, DeviceError, ExportError
from ppose.inference.runtimes import kinds
from ppose.weights.checkpoint import save_weights
from ppose.weights.registry import list_models, mirror_path
from ppose.workspace import load_config
from ppose.zoo import DEFAULT_DETECTOR, DEFAULT_POSE, exports
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
    with pytest.raises(ConfigError, match="needs an open Runtime, and takes no options"):
        ppose.Predictor(predictor.spec, predictor._runtime, cpu_threads=1)
    with pytest.raises(ConfigError, match="give the runtime by name"):
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
def test_another_version_exports_anew(trained, monkeypatch):
    folder = find_export(trained, "paddle")
    monkeypatch.setattr(exports, "find_version", lambda package: "9.8")
    newer = find_export(trained, "paddle")
    assert newer.name == folder.name.partition("-paddle3")[0] + "-paddle9.8"
    assert list_exports(trained) == [newer]


def test_the_version_of_ppose_counts(colours, put_export, monkeypatch):
    colours.fetch()
    folder, made = put_export(colours), []
    monkeypatch.setattr(exports, "can_make", lambda form: True)
    monkeypatch.setattr(exports, "_make", lambda model, folder, form: made.append(folder.name))
    assert find_export(colours, "onnxruntime") == folder
    assert made == []
    monkeypatch.setattr(exports, "VERSION", "9.9")
    find_export(colours, "onnxruntime")
    assert made == [folder.name.replace(f"-ppose{ppose.__version__}-", "-ppose9.9-")]


def test_no_runtime_is_one_line_with_the_command_that_mends_it(colours, monkeypatch):
    monkeypatch.setattr(kinds, "is_installed", lambda name: False)
    with pytest.raises(DeviceError, match="pip install onnxruntime"):
        find_export(colours)
    with pytest.raises(DeviceError, match="pip install openvino"):
        find_export(colours, "openvino")


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


@pytest.fixture
def mirror(reference, tmp_path, monkeypatch):
    """A folder with the published files that are here, as PPOSE_MIRROR."""
    weights, detectors = reference / "data" / "weights", reference / "data" / "detectors"
    for model in list_models().values():
        file = tmp_path / "mirror" / mirror_path(model.url)
        file.parent.mkdir(parents=True, exist_ok=True)
        if "_enhance" not in model.name and (weights / f"{model.name}.pdparams").is_file():
            shutil.copy(weights / f"{model.name}.pdparams", file)
        if (detectors / model.name).is_dir():
            shutil.make_archive(str(file.with_suffix("")), "zip", detectors, model.name)
    monkeypatch.setenv("PPOSE_MIRROR", str(tmp_path / "mirror"))


@pytest.mark.heavy
@pytest.mark.usefixtures("mirror")
def test_the_default_models_find_people_of_photographs(reference):
    """Their published weights: people are where COCO's annotators saw them, and so are their keypoints."""
    data = reference / "data" / "coco_dev"
    content = json.loads((data / "annotations" / "person_keypoints.json").read_text())
    predictor = ppose.Predictor(DEFAULT_POSE, detector=DEFAULT_DETECTOR)
    near = []
    for person in content["annotations"]:
        image = next(image for image in content["images"] if image["id"] == person["image_id"])
        if person["area"] < 0.1 * image["width"] * image["height"] or person["num_keypoints"] < 15:
            continue
        points = np.array(person["keypoints"]).reshape(-1, 3)
        seen = points[:, 2] > 0
        size = max(person["bbox"][2:])
        poses = predictor(data / "images" / image["file_name"])
        errors = [np.linalg.norm(pose.keypoints - points[:, :2], axis=1)[seen] / size for pose in poses]
        near.append(min((float(np.median(error)) for error in errors), default=1.0) < 0.03)
        if len(near) == 10:
            break
    assert len(near) == 10
    assert sum(near) >= 9


@pytest.mark.heavy
@pytest.mark.usefixtures("mirror")
def test_the_default_detector_is_the_same_as_onnx(reference):
    """Rows of class, score and box, of the graph as published and as it is converted."""
    import onnxruntime
    import paddle.inference as paddle_inference

    folder = find_detector(DEFAULT_DETECTOR)
    config = paddle_inference.Config(str(folder / "model.pdmodel"), str(folder / "model.pdiparams"))
    config.disable_glog_info()
    published = paddle_inference.create_predictor(config)
    converted = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    count = 0
    for file in sorted((reference / "data" / "coco_dev" / "images").iterdir())[:5]:
        image = cv2.resize(cv2.imread(str(file))[..., ::-1], (192, 192)).transpose(2, 0, 1)[None]
        inputs = {"image": image.astype(np.float32), "scale_factor": np.ones((1, 2), np.float32)}
        for name, value in inputs.items():
            published.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(value))
        published.run()
        rows = published.get_output_handle(published.get_output_names()[0]).copy_to_cpu()
        others = converted.run(None, inputs)[0]
        assert rows.shape == others.shape
        rows, others = rows[rows[:, 1] > 0.3], others[others[:, 1] > 0.3]
        for row in rows:
            assert np.abs(others - row).max(axis=1).min() < 1e-2
        count += len(rows)
    assert count > 5
