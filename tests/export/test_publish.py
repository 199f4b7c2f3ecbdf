"""An export takes its place whole, or not at all."""

import signal
from dataclasses import replace

import pytest

from ppose.codecs import MSRAHeatmap
from ppose.export import publish as module
from ppose.export.publish import publish, staging
from ppose.inference.model_folder import ModelFolder, read_model_folder
from ppose.inference.pose_spec import PoseSpec
from ppose.keypoints import get_keypoint_set

SPEC = PoseSpec(
    input_size=(64, 96),
    keypoint_set=get_keypoint_set("coco17"),
    codec=MSRAHeatmap((64, 96), (16, 24)),
    sample_transforms=[],
    batch_transforms=[{"Permute": {}}],
)


@pytest.fixture
def model(tmp_path):
    return ModelFolder(
        path=tmp_path / "out" / "small",
        name="small",
        spec=SPEC,
        weights_sha256="ab" * 32,
        quantization_sha256=None,
        files={},
        versions={"ppose": "0.1.0"},
    )


PADDLE, ONNX = ("model.json", "model.pdiparams"), ("model.onnx",)
PADDLE_2 = ("model.pdmodel", "model.pdiparams")


def write(model, names, text="a"):
    with staging(model.path) as temporary:
        for name in names:
            (temporary / name).write_text(name + text)
        return publish(temporary, model)


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_second_format_goes_beside_the_first(model):
    write(model, PADDLE)
    both = write(model, ONNX)
    assert read_model_folder(model.path) == both
    assert sorted(content(model.path)) == sorted([*PADDLE, *ONNX, "infer_cfg.yml"])


def test_graphs_that_share_their_weights(model, caplog):
    write(model, PADDLE)
    both = write(model, PADDLE_2)
    assert set(both.files) == {*PADDLE, *PADDLE_2}
    assert both.paddle_files[0].name == "model.json"
    write(model, ONNX)
    write(model, PADDLE_2, text="in another order")
    assert "deleting model.json" in caplog.text
    left = read_model_folder(model.path)
    assert set(left.files) == {*PADDLE_2, *ONNX}
    assert left.paddle_files[0].name == "model.pdmodel"


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "cd" * 32},
        {"quantization_sha256": "cd" * 32},
        {"spec": replace(SPEC, batch=1)},
        {"versions": {}},
    ],
)
def test_files_of_another_model_do_not_stay(model, change):
    write(model, PADDLE)
    (model.path / "notes.txt").write_text("a user's own")
    write(replace(model, **change), ONNX)
    assert list(read_model_folder(model.path).files) == ["model.onnx"]
    assert sorted(content(model.path)) == ["infer_cfg.yml", "model.onnx", "notes.txt"]


def test_a_spoilt_earlier_export_is_replaced(model):
    write(model, PADDLE)
    (model.path / "model.json").write_text("spoilt")
    write(model, ONNX)
    assert sorted(content(model.path)) == ["infer_cfg.yml", "model.onnx"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_earlier_export_stays_whole(model, monkeypatch, stop):
    write(model, PADDLE)
    before = content(model.path)

    def fail(*arguments):
        raise stop

    monkeypatch.setattr(module, "write_infer_cfg", fail)
    with pytest.raises(type(stop)):
        write(model, PADDLE, text="b")
    assert content(model.path) == before


def test_a_signal_between_two_files_waits_for_the_last(model, monkeypatch):
    write(model, PADDLE)
    replace_file = type(model.path).replace

    def replace_and_signal(self, target):
        if target.parent == model.path:
            signal.raise_signal(signal.SIGINT)
        return replace_file(self, target)

    monkeypatch.setattr(type(model.path), "replace", replace_and_signal)
    with pytest.raises(KeyboardInterrupt):
        write(model, PADDLE, text="b")
    monkeypatch.undo()
    assert content(model.path)["model.json"] == b"model.jsonb"
    read_model_folder(model.path)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_first_export_that_fails_leaves_no_folder(model):
    with pytest.raises(KeyboardInterrupt), staging(model.path):
        raise KeyboardInterrupt
    assert not model.path.parent.exists()


def test_a_folder_that_was_there_stays(model):
    model.path.parent.mkdir()
    with pytest.raises(KeyboardInterrupt), staging(model.path / "new"):
        raise KeyboardInterrupt
    assert not any(model.path.parent.iterdir())
