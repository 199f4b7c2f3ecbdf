"""What is measured is chosen, kept and taken; what does not fit any more is not."""

import dataclasses
import json
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from ppose.errors import ConfigError, DeviceError
from ppose.inference.model_folder import read_model_folder, write_infer_cfg
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import kinds
from ppose.inference.tuning import records, tune
from ppose.inference.tuning.agreement import take_sample
from ppose.inference.tuning.candidates import list_exports, list_pairs
from ppose.inference.tuning.contest import Contest, list_faster
from ppose.inference.tuning.records import Choice, find_choice, write_record
from ppose.inference.tuning.settings import Settings, default_batch
from ppose.keypoints import get_keypoint_set

DEFAULT = Settings(Path("a"), "openvino", "fp32", "fp32", 2)
OTHER = dataclasses.replace(DEFAULT, runtime="onnxruntime")
HALF = dataclasses.replace(DEFAULT, precision="bf16", computes="bf16")


class FakeBench:
    """Runs what takes ``seconds(settings)`` a person; each turn and each opening takes so long of ``now``."""

    def __init__(self, seconds, opening=0.0, broken=()):
        self.seconds, self.opening, self.broken = seconds, opening, broken
        self.now, self.turns, self.open_now = 0.0, 0, set()

    def open(self, settings):
        self.now += self.opening
        if settings.runtime in self.broken:
            raise DeviceError("it does not load")
        self.open_now.add(settings)

    def run(self, settings):
        assert settings in self.open_now
        self.now, self.turns = self.now + 0.2, self.turns + 1
        return self.seconds(settings)

    def close(self, settings):
        self.open_now.remove(settings)


def compete(bench, pairs=(DEFAULT, OTHER, HALF), budget=60.0, many=False):
    contest = Contest(bench, lambda: bench.now, budget, many)
    return contest, list_faster(contest, contest.search(pairs))


def test_the_fastest_comes_first_and_the_slow_are_left_out_early():
    times = {"openvino": 0.010, "onnxruntime": 0.05}
    contest, faster = compete(FakeBench(lambda s: times[s.runtime] * (1 if s.threads == 1 else 2)))
    assert faster[0] == dataclasses.replace(DEFAULT, threads=1)
    assert faster[-1] == DEFAULT == contest.default
    assert len(contest.seconds[OTHER]) == 1
    assert len(contest.seconds[DEFAULT]) > 5
    assert contest.ratio(faster[0]) == pytest.approx(0.5)


def test_a_busy_machine_decides_nothing():
    """Whole rounds are ten times as slow, and single turns; the default is as fast as all others."""
    rng = np.random.default_rng(0)
    bench = FakeBench(
        lambda s: 0.01 * (10 if rng.random() < 0.2 else 1) * (10 if bench.turns % 24 < 6 else 1)
    )
    _, faster = compete(bench)
    assert faster == [DEFAULT]


@pytest.mark.parametrize(("ratio", "first"), [(0.98, DEFAULT), (0.9, OTHER)])
def test_little_is_not_enough_to_change(ratio, first):
    _, faster = compete(FakeBench(lambda s: 0.01 * (ratio if s == OTHER else 1)))
    assert faster[0] == first


def test_of_equals_the_exact_one_is_taken():
    times = {DEFAULT: 1.0, OTHER: 0.802, HALF: 0.8}
    contest, faster = compete(FakeBench(lambda s: times.get(s, 1.0)))
    assert faster == [OTHER, HALF, DEFAULT]
    assert contest.ratio(HALF) < contest.ratio(OTHER)


def test_what_does_not_run_is_reported_and_the_next_is_the_default():
    contest, faster = compete(FakeBench(lambda s: 0.01, broken=("openvino",)))
    assert contest.default == OTHER
    assert faster == [OTHER]
    assert contest.problems[DEFAULT] == "it does not load"


def test_time_is_bounded():
    bench = FakeBench(lambda s: 0.01, opening=5.0)
    contest, _ = compete(bench, budget=10.0)
    assert bench.now < 20
    assert contest.unopened
    assert len(contest.seconds[DEFAULT]) >= 2


def test_many_people_are_tried_in_streams_and_batches():
    def seconds(settings):  # streams help, and batches of 8
        return 0.01 / settings.streams * {1: 2.0, 4: 1.0, 8: 0.8, 16: 1.0}[settings.batch]

    contest, faster = compete(
        FakeBench(seconds), [dataclasses.replace(DEFAULT, threads=4, input_size=(96, 128))], many=True
    )
    assert (contest.default.streams, contest.default.batch) == (4, 8)
    tried = {(s.streams, s.batch) for s in contest.seconds}
    assert {(1, 8), (2, 8), (4, 1), (4, 4), (4, 16)} <= tried
    assert faster == [contest.default]


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


def test_what_wins_for_one_person_is_compared_though_it_was_closed_among_those_for_many():
    """One person is among the batches that are tried for many, with the very same settings."""

    class Finding(FakeBench):
        def find(self, settings, scenes, seconds):
            assert settings in self.open_now
            return np.ones((len(scenes), 17, 2)), np.ones((len(scenes), 17))

    of_batch = {1: 0.02, 4: 0.01, 16: 0.008}
    bench = Finding(lambda s: of_batch[s.batch] * (0.8 if s.computes == "bf16" else 1))
    contests, _ = tune._search(bench, [DEFAULT, HALF], 600.0)
    assert HALF in contests["throughput"].seconds
    assert HALF not in bench.open_now
    sample = take_sample([Path("a.jpg")], None, get_keypoint_set("coco17"), 5)
    judge = tune._Judge(bench, [DEFAULT, HALF], sample, None)
    assert judge.allows(HALF)


def test_what_cannot_be_compared_is_not_taken():
    class Ending(FakeBench):
        def find(self, settings, scenes, seconds):
            raise DeviceError("its process has ended (exit code -11)")

    bench = Ending(lambda s: 0.005 if s == HALF else 0.01)
    contest, faster = compete(bench)
    judge = tune._Judge(bench, [DEFAULT, HALF], take_sample([Path("a.jpg")], None, "coco17", 5), None)
    chosen, why = tune._choose(contest, faster, judge)
    assert (chosen, judge.losses) == (DEFAULT, {})
    assert "its exactness is unknown: its process has ended (exit code -11)" in why


def test_every_runtime_has_a_version_without_an_import():
    for name in kinds.KINDS:
        assert kinds.find_version(name)[0].isdigit()
