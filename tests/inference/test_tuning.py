"""What is measured is chosen, kept and taken; what does not fit any more is not."""

import dataclasses
import json
import shutil
import threading

import cv2
import numpy as np
import pytest

from ppose.errors import ConfigError, DataError, DeviceError
from ppose.inference.model_folder import read_model_folder, write_infer_cfg
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import kinds
from ppose.inference.tuning import records, tune
from ppose.inference.tuning.agreement import take_sample
from ppose.inference.tuning.candidates import list_exports, list_pairs
from ppose.inference.tuning.records import Choice, find_choice, write_record
from ppose.inference.tuning.settings import default_batch


@pytest.mark.parametrize(
    ("size", "people"), [((96, 128), 8), ((192, 256), 4), ((288, 384), 1), ((32, 32), 8)]
)
def test_large_people_are_few_in_a_batch(size, people):
    assert default_batch(2, size) == people


@pytest.fixture
def folder(model_dir, tmp_path):
    """A copy, with an export beside it that says it is int8."""
    shutil.copytree(model_dir, tmp_path / "colours")
    shutil.copytree(model_dir, tmp_path / "colours_int8")
    own = read_model_folder(tmp_path / "colours")
    beside = dataclasses.replace(
        own, path=tmp_path / "colours_int8", quantization_sha256="ab" * 32, int8_weights="portable"
    )
    write_infer_cfg(beside)
    return own


def choose(folder, **changes):
    given = {"export": "", "files": folder.files, "runtime": "onnxruntime", "precision": "fp32"}
    given |= {"threads": 1, "streams": 1, "batch": 16, "why": "0.5 of the time"}
    return Choice(**{**given, **changes})


@pytest.fixture
def kept(folder):
    """The record's file: ONNX Runtime for one person, the export beside in OpenVINO for many."""
    many = choose(folder, export="colours_int8", runtime="openvino", threads=2, streams=2, batch=4)
    return write_record(folder, {"latency": choose(folder), "throughput": many})


def test_auto_takes_what_was_measured_and_says_so(folder, kept, caplog):
    caplog.set_level("INFO", "ppose")
    one = Predictor.from_dir(folder.path)
    assert (one.runtime_name, one.batch_size, one.callers) == ("onnxruntime", 16, 1)
    (line,) = [text for text in caplog.messages if "ppose tune" in text]
    assert "for latency: 0.5 of the time" in line
    many = Predictor.from_dir(folder.path, hint="throughput", batch_size=3)
    assert (many.runtime_name, many.batch_size, many.callers) == ("openvino", 3, 2)
    assert any("int8, 2 batches at once" in text for text in caplog.messages)
    for asked in ({"precision": "fp32"}, {"cpu_threads": 1}, {"runtime": "openvino"}):
        assert Predictor.from_dir(folder.path, **asked).runtime_name == "openvino"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"own_cores": lambda: 99}, "cores: 2 then, 99 now"),
        ({"processor_name": lambda: "Z80"}, "then, Z80 now"),
        ({"find_version": lambda name: "0.0.1"}, "openvino 1 then, 0.0.1 now"),
    ],
)
def test_a_record_of_another_machine_is_ignored_and_reported(folder, monkeypatch, caplog, change, expected):
    monkeypatch.setattr(records, "own_cores", lambda: 2)
    monkeypatch.setattr(records, "find_version", lambda name: "1")
    write_record(folder, {"latency": choose(folder), "throughput": choose(folder)})
    assert find_choice(folder, "latency") is not None
    for name, value in change.items():
        monkeypatch.setattr(records, name, value)
    assert find_choice(folder, "latency") is None
    (line,) = caplog.messages
    assert expected in line
    assert f"`ppose tune {folder.path}` measures again" in line


def test_records_of_other_files_are_ignored_and_reported(folder, kept, caplog):
    other = dataclasses.replace(folder, files={**folder.files, "model.onnx": "0" * 64})
    assert find_choice(other, "latency") is None
    assert "the model's files have changed" in caplog.messages[0]
    beside = folder.path.parent / "colours_int8"
    write_infer_cfg(dataclasses.replace(folder, path=beside, weights_sha256="1" * 64))
    assert find_choice(folder, "throughput") is None
    assert "has changed since it was measured" in caplog.messages[1]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: b"{",
        lambda record: b"[]",
        lambda record: json.dumps({**record, "format": 9}).encode(),
        lambda record: json.dumps({**record, "latency": {**record["latency"], "threads": "2"}}).encode(),
        lambda record: json.dumps({**record, "latency": {**record["latency"], "export": "../a"}}).encode(),
        lambda record: json.dumps({**record, "latency": {**record["latency"], "why": None}}).encode(),
    ],
)
def test_a_damaged_record_is_one_warning(folder, kept, caplog, spoil):
    kept.write_bytes(spoil(json.loads(kept.read_text())))
    assert Predictor.from_dir(folder.path).runtime_name == "openvino"
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "is ignored" in line
    assert "measures again" in line


def test_two_that_measure_at_once_measure_once(folder, monkeypatch):
    calls = []

    def measure(folder, *_):
        calls.append(folder)
        write_record(folder, {"latency": choose(folder), "throughput": choose(folder)})

    monkeypatch.setattr(tune, "_tune", measure)
    threads = [threading.Thread(target=tune.measure_once, args=(folder,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert Predictor.from_dir(folder.path, runtime="measure").runtime_name == "onnxruntime"
    with pytest.raises(ConfigError, match="runtime is measure, which finds precision and threads"):
        Predictor.from_dir(folder.path, runtime="measure", cpu_threads=1)


def test_where_nothing_can_be_kept_nothing_is_measured(folder, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PPOSE_HOME", str(tmp_path / "file"))
    assert Predictor.from_dir(folder.path, runtime="measure", hint="throughput").runtime_name == "openvino"
    assert "cannot be written" in caplog.text


def test_pairs_are_all_that_can_run(folder, monkeypatch):
    monkeypatch.setattr("ppose.inference.model_folder.saturates_int8", lambda: True)
    exports = list_exports(folder)
    assert [export.path.name for export in exports] == ["colours", "colours_int8"]
    full = dataclasses.replace(exports[1], int8_weights="full")
    pairs, missing = list_pairs([folder, full], 2)
    assert [(p.runtime, p.computes) for p in pairs if p.path == folder.path][:3] == [
        ("openvino", "fp32"), ("onnxruntime", "fp32"), ("paddle", "fp32"),
    ]  # fmt: skip
    assert [p.runtime for p in pairs if p.path == full.path] == ["paddle"]
    assert any("full range" in line for line in missing)


def test_a_sample_is_judged_by_labels_or_by_the_float_poses(folder, crowd, tmp_path):
    image, keypoints, boxes = crowd
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    people = [
        {
            "id": i + 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "area": 6000, "num_keypoints": 2,
            "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
            "keypoints": np.column_stack([points, [2, 2]]).ravel().tolist(),
        }
        for i, (points, box) in enumerate(zip(keypoints, boxes, strict=True))
    ]  # fmt: skip
    labels = {"images": [{"id": 7, "file_name": "a.png", "width": 320, "height": 240}], "annotations": people}
    labels["categories"] = [{"id": 1, "name": "person", "keypoints": ["red", "blue"]}]
    (tmp_path / "people.json").write_text(json.dumps(labels))
    keypoint_set, found = folder.spec.keypoint_set, (keypoints.astype(float), np.ones((2, 2)))
    labelled = take_sample([tmp_path / "a.png"], tmp_path / "people.json", keypoint_set, 10)
    assert labelled.people == 2
    assert labelled.find_ap(found) == pytest.approx(1)
    assert labelled.find_ap((found[0] + 200, found[1])) == 0
    assert labelled.find_oks(found, found) == 1
    assert 0 < labelled.find_oks((found[0] + 4, found[1]), found) < 0.99
    assert labelled.find_oks((found[0] + 4, found[1]), (found[0], np.zeros((2, 2)))) == 1  # nobody is sure
    (tmp_path / "boxes.json").write_text(json.dumps([{"image": "a.png", "bbox": people[0]["bbox"]}]))
    plain = take_sample([tmp_path / "a.png"], tmp_path / "boxes.json", keypoint_set, 10)
    assert plain.people == 1
    assert plain.find_ap(found) is None


@pytest.mark.heavy
def test_a_model_is_measured_and_then_run_so(folder, crowd, tmp_path, run_script, monkeypatch):
    """The command, in processes; Paddle, which takes seconds to load, looks as if it were not exported."""
    for name in ("colours", "colours_int8"):
        copy = read_model_folder(tmp_path / name)
        write_infer_cfg(dataclasses.replace(copy, files={"model.onnx": copy.files["model.onnx"]}))
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), crowd[0][..., ::-1])
    (tmp_path / "boxes.json").write_text(json.dumps([{"image": "a.png", "bbox": [40, 30, 80, 160]}]))
    result = run_script(
        "deploy/tune.py", folder.path, "--seconds", 4, "--image_dir", tmp_path / "images",
        "--boxes", tmp_path / "boxes.json", "--json", tmp_path / "table.json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    table = json.loads((tmp_path / "table.json").read_text())
    lines = result.stdout.splitlines()
    assert lines[0].split()[:4] == ["for", "export", "runtime", "computes"]
    for hint in ("latency", "throughput"):
        (chosen,) = [row for row in table if row["for"] == hint and row["is_chosen"]]
        assert {"openvino", "onnxruntime"} == {row["runtime"] for row in table if row["for"] == hint}
        assert any(line.startswith(f"{hint}: {chosen['export']} in {chosen['runtime']}, ") for line in lines)
        predictor = Predictor.from_dir(folder.path, hint=hint)
        assert (predictor.runtime_name, predictor.callers) == (chosen["runtime"], chosen["streams"])
    assert any("no model.json" in line for line in lines)


def test_boxes_that_cannot_be_used_are_reported_before_it_measures(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(tune, "_search", lambda *_: pytest.fail("measures"))
    (tmp_path / "boxes.json").write_text(json.dumps([{"image": "b.png", "bbox": [40, 30, 80, 160]}]))
    for boxes, expected in (("none.json", "none.json"), ("boxes.json", "none of its boxes can be used")):
        with pytest.raises(DataError, match=expected):
            tune.tune(folder.path, [tmp_path / "a.png"], tmp_path / boxes)


def test_a_process_that_ends_or_hangs_is_reported(folder, monkeypatch):
    from ppose.inference.tuning import processes

    (pair, *_), _ = list_pairs([folder], 1)
    with processes.Processes() as bench:
        bench.open(pair)
        assert 0 < bench.run(pair) < 1
        bench._processes["openvino"]._process.kill()
        with pytest.raises(DeviceError, match="its process has ended"):
            bench.run(pair)
        bench.open(pair)  # in a new one
        monkeypatch.setattr(processes, "_TURN", 30.0)
        monkeypatch.setattr(processes, "_RUNNING", 0.1)
        with pytest.raises(DeviceError, match="it takes more than 0 s"):
            bench.run(pair)


def test_every_runtime_has_a_version_without_an_import():
    for name in kinds.KINDS:
        assert kinds.find_version(name)[0].isdigit()
