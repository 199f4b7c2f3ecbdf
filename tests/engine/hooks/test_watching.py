"""What a run leaves for those who watch it: VisualDL's log, pictures of samples, curves, results."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from paddle import nn
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from runs import StopAt, data_overrides

from ppose.engine.hooks import samples
from ppose.engine.state import read_state
from ppose.engine.task import Task
from ppose.engine.train import make_trainer
from ppose.errors import ConfigError
from ppose.reports.curves import plot_curves
from ppose.workspace import load_config

CONFIG = Path("configs/naive_lite_hrnet_18_256x192_coco.yml").resolve()


@pytest.fixture
def train(coco_folder, tmp_path, monkeypatch):
    """Trains a network of one convolution on 6 people in 3 batches an epoch."""
    monkeypatch.setattr(Task, "model", lambda self: nn.Conv2D(3, 17, 4, stride=4))
    monkeypatch.chdir(tmp_path)  # where log/ goes
    overrides = [
        *data_overrides(coco_folder),
        "trainsize=[64,64]", "hmsize=[16,16]", "batch_size=2", "worker_num=0", "log_iter=1", "epoch=4",
        "snapshot_epoch=2", "LearningRate.base_lr=0.01",
    ]  # fmt: skip

    def _train(*more, stop_at=None, resumes=False, evaluates=True):
        cfg = load_config(CONFIG, [*overrides, *more])
        folder = tmp_path / "run"
        state = read_state(folder) if resumes else None
        trainer = make_trainer(cfg, folder, seed=0, evaluates=evaluates, state=state)
        if stop_at is not None:
            trainer.hooks.insert(0, StopAt(stop_at))
        trainer.fit()
        return folder

    return _train


def read_records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def read_newest_log(folder):
    """{tag: [(step, value)]} of scalars and pictures, as VisualDL's own reader gives them."""
    from visualdl import LogReader

    reader = LogReader(file_path=str(max(folder.glob("vdlrecords.*.log"))))
    tags = reader.get_tags()
    scalars = {tag: [(r.id, r.value) for r in reader.get_data("scalar", tag)] for tag in tags["scalar"]}
    pictures = {tag: reader.get_data("image", tag) for tag in tags["image"]}
    return scalars, {
        tag: [(r.id, r.image.encoded_image_string) for r in found] for tag, found in pictures.items()
    }


def assert_log_is_the_run(folder, log_dir):
    scalars, pictures = read_newest_log(log_dir)
    records = read_records(folder)
    steps = [record for record in records if "loss" in record]
    assert [step for step, _ in scalars["train/loss"]] == [record["step"] for record in steps]
    for name in ("loss", "lr", "images_per_s"):
        expected = [record[name] for record in steps]
        np.testing.assert_allclose([value for _, value in scalars[f"train/{name}"]], expected, rtol=1e-6)
    share = [record["data_time"] / record["step_time"] for record in steps]
    np.testing.assert_allclose([value for _, value in scalars["train/data_share"]], share, rtol=1e-5)
    assert 0 < min(share) <= max(share) < 1
    evaluations = [(record["step"], pytest.approx(record["AP"])) for record in records if "AP" in record]
    assert scalars["eval/AP"] == evaluations
    shown = cv2.imdecode(np.frombuffer(pictures["train/samples"][-1][1], np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(shown, cv2.imread(str(folder / "vis" / "epoch_004.png")))
    return scalars, [step for step, _ in pictures["train/samples"]]


def test_visualdl_shows_the_run(train, tmp_path):
    folder = train()
    scalars, picture_steps = assert_log_is_the_run(folder, tmp_path / "log" / folder.name)
    assert [step for step, _ in scalars["train/loss"]] == list(range(1, 13))
    assert [step for step, _ in scalars["eval/AP"]] == picture_steps == [6, 12]
    assert "eval/APm" in scalars
    assert "eval/APl" not in scalars  # nobody is large
    assert not any(tag.endswith(("epoch", "step")) for tag in scalars)


def test_a_resumed_run_continues_its_curves(train, tmp_path):
    own = f"vdl_log_dir={tmp_path / 'own'}"
    folder = train(own, stop_at=8)
    state = (folder / "train_state.npz").read_bytes()
    train(own, stop_at=11, resumes=True)
    assert [step for step, _ in read_newest_log(tmp_path / "own")[0]["train/loss"]] == list(range(1, 12))
    (folder / "train_state.npz").write_bytes(state)  # as if it had been killed: steps 9 to 11 come again
    train(own, resumes=True)
    scalars, picture_steps = assert_log_is_the_run(folder, tmp_path / "own")
    assert [step for step, _ in scalars["train/loss"]] == list(range(1, 13))
    assert [step for step, _ in scalars["eval/AP"]] == picture_steps == [6, 12]
    assert not (tmp_path / "log").exists()


def test_without_visualdl(train, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "visualdl", None)
    with pytest.raises(
        ConfigError, match=r"VisualDLLog needs .*pip install visualdl, or set -o use_vdl=false"
    ):
        train("epoch=1")
    folder = train("epoch=1", "use_vdl=false")
    assert (folder / "curves.png").is_file()
    assert not (tmp_path / "log").exists()


# --- pictures of samples -------------------------------------------------------------------------------


def test_pictures_show_crops_targets_and_predictions(train, coco_folder, monkeypatch):
    for file in (coco_folder / "images").iterdir():
        image = np.empty((120, 160, 3), np.uint8)
        image[:] = (20, 60, 200)  # BGR: a red
        cv2.imwrite(str(file), image)
    drawn = []
    draw = samples.DrawSamples._draw
    monkeypatch.setattr(
        samples.DrawSamples, "_draw", lambda hook, maps: drawn.append((hook, maps)) or draw(hook, maps)
    )
    folder = train("epoch=2", "scale_factor=0.0", "rotation=0.0")
    (hook, predicted), = drawn  # fmt: skip
    picture = cv2.imread(str(folder / "vis" / "epoch_002.png"), cv2.IMREAD_COLOR_RGB)[24:]
    assert picture.shape == (4 * 256, 4 * 256, 3)
    columns = np.split(picture, 4, axis=1)
    for column, share in zip(columns[:3], (1, 1, 0.5), strict=True):
        colour = np.median(column.reshape(-1, 3), axis=0)
        np.testing.assert_allclose(colour, np.multiply((200, 60, 20), share), atol=6)
    assert predicted.shape == (4, 17, 16, 16)
    # What is predicted exactly looks like the target.
    exact = draw(hook, hook._batch["heatmaps"].numpy())[24:]
    target_pose, exact_pose, target_maps, exact_maps = np.split(exact, 4, axis=1)
    np.testing.assert_array_equal(target_pose, exact_pose)
    np.testing.assert_array_equal(target_maps, exact_maps)
    np.testing.assert_array_equal(target_pose, columns[0])
    np.testing.assert_array_equal(target_maps, columns[2])
    assert not np.array_equal(columns[0], columns[1])
    assert not np.array_equal(columns[2], columns[3])


def test_pictures_are_few_and_of_this_run(train, monkeypatch):
    monkeypatch.setattr(samples, "_KEPT", 3)
    folder = train("epoch=5", "snapshot_epoch=1", evaluates=False)
    (folder / "vis" / "epoch_photo.png").touch()
    names = [f"epoch_00{epoch}.png" for epoch in (3, 4, 5)]
    assert sorted(file.name for file in (folder / "vis").iterdir()) == [*names, "epoch_photo.png"]
    before = [cv2.imread(str(folder / "vis" / name))[:, :256] for name in names]
    for picture in before[1:]:
        np.testing.assert_array_equal(picture, before[0])  # the same crops throughout
    train("epoch=1", evaluates=False)
    assert sorted(file.name for file in (folder / "vis").iterdir()) == ["epoch_001.png", "epoch_photo.png"]


def test_a_reader_that_does_not_normalise(train):
    with pytest.raises(ConfigError, match="TrainReader has no NormalizeImage"):
        train("TrainReader.batch_transforms=[]")


def test_the_crop_is_undone_by_the_readers_own_numbers(train):
    folder = train("epoch=1", "global_mean=[0,0,0]", "global_std=[1,1,1]", evaluates=False)
    one = cv2.imread(str(folder / "vis" / "epoch_001.png"))[:, :256]
    folder = train("epoch=1", evaluates=False)
    other = cv2.imread(str(folder / "vis" / "epoch_001.png"))[:, :256]
    np.testing.assert_array_equal(one, other)


# --- curves --------------------------------------------------------------------------------------------


def lines_of(figure):
    panels = [axes for axes in figure.axes if axes.lines]
    return {axes.get_ylabel(): axes.lines[0].get_xydata().tolist() for axes in panels}


def test_curves_are_the_records():
    records = [{"epoch": 1 + s // 4, "step": s, "loss": 1 / s, "lr": 0.1 * s} for s in range(1, 9)]
    records.insert(4, {"epoch": 1, "step": 4, "AP": 0.25, "AR": 0.5})
    records.append({"epoch": 2, "step": 8, "AP": 0.5, "AR": 0.5})
    figure = plot_curves(records, 4, "AP")
    assert lines_of(figure) == {
        "loss (mean of its steps)": [[s, 1 / s] for s in range(1, 9)],
        "learning rate": [[s, 0.1 * s] for s in range(1, 9)],
        "AP": [[4, 0.25], [8, 0.5]],
    }
    assert figure.axes[-1].get_xlabel() == "step"
    (epochs,) = figure.axes[0].child_axes
    figure.draw_without_rendering()  # lays the axes out
    assert epochs.get_xlabel() == "epoch"
    np.testing.assert_allclose(epochs.get_xlim(), np.divide(figure.axes[0].get_xlim(), 4))
    one = plot_curves(records[:1], 4, "AP")
    assert list(lines_of(one)) == ["loss (mean of its steps)", "learning rate"]
    assert all(axes.lines[0].get_marker() == "." for axes in one.axes)


def test_the_picture_of_curves(train):
    folder = train(stop_at=1)
    assert cv2.imread(str(folder / "curves.png")).shape[0] > 300
    (folder / "curves.png").unlink()
    train("log_iter=50", stop_at=1)  # before the first line of the log
    assert not (folder / "curves.png").exists()


# --- results -------------------------------------------------------------------------------------------


def test_the_results_are_those_of_the_metrics(train, coco_folder):
    folder = train()
    metrics = json.loads((folder / "result" / "metrics.json").read_text())
    last = read_records(folder)[-1]
    assert {"epoch": 4, "step": 12, **metrics} == last
    ground_truth = COCO(str(coco_folder / "annotations.json"))
    found = ground_truth.loadRes(str(folder / "result" / "keypoints_results.json"))
    assert len(found.anns) == 6
    evaluation = COCOeval(ground_truth, found, "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    np.testing.assert_allclose(evaluation.stats, list(metrics.values()), atol=1e-12)
