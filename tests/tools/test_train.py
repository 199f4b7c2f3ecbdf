"""tools/train.py from end to end, and what users do wrong with it."""

import json

import cv2
import numpy as np
import pytest
from runs import assert_one_line, data_overrides

from ppose.data.synthetic import write_dataset
from ppose.engine.record import dump_config
from ppose.engine.task import Task
from ppose.engine.train import make_trainer
from ppose.errors import ConfigError
from ppose.processor_settings import describe_settings
from ppose.weights.checkpoint import save_weights
from ppose.workspace import load_config

CONFIG = "configs/naive_lite_hrnet_18_256x192_coco.yml"
TEACHER = "configs/hrnet_w32_256x192_teacher.yml"
NAME = "naive_lite_hrnet_18_256x192_coco"


def small_run(folder):
    return [*data_overrides(folder), "trainsize=[64,64]", "hmsize=[16,16]", "worker_num=0"]


def draw_people(folder, people=16, keypoints=17):
    """Images of 16 "people": at each keypoint a disc in the keypoint's colour, at random places."""
    rng = np.random.default_rng(0)
    colours = [
        cv2.cvtColor(np.uint8([[[hue, 255, 255 - 60 * (k % 2)]]]), cv2.COLOR_HSV2BGR)[0, 0].tolist()
        for k, hue in enumerate(np.linspace(0, 170, keypoints).astype(int))
    ]
    (folder / "images").mkdir(parents=True)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    cells = np.stack(np.meshgrid(np.arange(5), np.arange(5)), -1).reshape(-1, 2)
    for number in range(1, people + 1):
        image = np.full((128, 128, 3), 40, np.uint8)
        points = 14 + 24 * rng.permutation(cells)[:keypoints] + rng.integers(-4, 5, (keypoints, 2))
        for point, colour in zip(points.tolist(), colours, strict=True):
            cv2.circle(image, point, 7, colour, -1)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
        content["images"].append({"id": number, "file_name": f"{number}.png", "width": 128, "height": 128})
        labels = np.column_stack([points, np.full(keypoints, 2)])
        content["annotations"].append(
            {
                "id": number, "image_id": number, "category_id": 1, "bbox": [10, 10, 108, 108],
                "area": 108 * 108 * 0.6, "iscrowd": 0, "num_keypoints": keypoints,
                "keypoints": labels.ravel().tolist(),
            }
        )  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def train(run_tool, tmp_path):
    def _train(*arguments, overrides=()):
        return run_tool(
            "tools/train.py",
            "-c",
            CONFIG,
            *arguments,
            "-o",
            f"save_dir={tmp_path}",
            f"vdl_log_dir={tmp_path / 'log' / NAME}",
            *overrides,
        )

    return _train


@pytest.mark.heavy
def test_overfits_16_built_in_images(tmp_path):
    """Lite-HRNet, in less than two minutes on two cores; no augmentation."""
    write_dataset(tmp_path, 16, 0, people=(1, 1), variety=0.25)
    data = f"dataset_dir: {tmp_path}, image_dir: images, anno_path: annotations.json"
    options = [
        f"TrainDataset={{type: KeypointTopDownCocoDataset, trainsize: [64, 128], {data}}}",
        f"EvalDataset.dataset_dir={tmp_path}", "epoch=100", "snapshot_epoch=100", "use_vdl=false",
        "TopDownHRNet.flip=false", "worker_num=0", "LearningRate.schedulers.CosineDecay.max_epochs=100",
        "LearningRate.schedulers.LinearWarmup.steps=20",
        "TrainReader.sample_transforms=[{TopDownAffine: {trainsize: [64, 128]}}, "
        "{ToHeatmapsTopDown_DARK: {hmsize: [16, 32], sigma: 1.5}}]",
    ]  # fmt: skip
    cfg = load_config("configs/synthetic_lite_hrnet.yml", options)
    trainer = make_trainer(cfg, tmp_path / "run", seed=0, evaluates=True)
    trainer.fit()
    assert trainer.progress.best > 0.95


def test_train_evaluate_and_fine_tune(train, run_tool, coco_folder, tmp_path):
    options = [*small_run(coco_folder), "batch_size=4", "epoch=2", "snapshot_epoch=1", "log_iter=1"]
    result = train("--eval", "--seed", "5", overrides=options)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / NAME
    assert f"trained 2 epochs: {folder / 'model_final.pdparams'}; best AP" in result.stdout
    assert "epoch 2/2 step 2/2 loss " in result.stdout
    assert "epoch 2/2 step 2/2 loss " in (folder / "log" / "train.log").read_text()
    run = json.loads((folder / "run.json").read_text())
    assert run["seed"] == 5
    assert run["processor_settings"]["KMP_BLOCKTIME"]
    assert f"CPU settings: {describe_settings(run['processor_settings'])}" in result.stderr
    assert "--seed 5" in run["command"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "AP" in line] == [2, 4]
    for name in ("curves.png", "vis/epoch_002.png", "result/keypoints_results.json", "result/metrics.json"):
        assert (folder / name).is_file()
    assert len(list((tmp_path / "log" / NAME).glob("vdlrecords.*.log"))) == 1
    # What was recorded is enough for the other commands.
    evaluated = run_tool(
        "tools/eval.py", "-c", folder / "config.yml", "--json", tmp_path / "m.json", "-o", f"weights={folder}"
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert json.loads((tmp_path / "m.json").read_text())["AP"] == pytest.approx(lines[-1]["AP"], abs=1e-6)
    tuned = train("--weights", folder / "best_model.pdparams", overrides=[*options, "epoch=1"])
    assert tuned.returncode == 0, tuned.stderr
    assert "arrays loaded" in tuned.stderr
    assert "the earlier run in" in tuned.stderr


def test_distil(train, coco_folder, tmp_path):
    """The flags reach the run, and what it was is recorded; their values go to the teacher alone."""
    teacher = ["trainsize=[64,64]", "hmsize=[16,16]", "width=8"]
    save_weights(Task(load_config(TEACHER, teacher)).model(), tmp_path / "teacher.pdparams")
    options = [*small_run(coco_folder), "batch_size=6", "epoch=1", "log_iter=1"]
    distil = [
        "--distill_config",
        TEACHER,
        "--distill_opt",
        *teacher,
        f"weights={tmp_path / 'teacher.pdparams'}",
    ]
    result = train(*distil, "distill_loss.weight=2", "--teacher_cache", tmp_path / "cache", overrides=options)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / NAME
    assert "student_loss" in result.stdout
    (line,) = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert line["loss"] == pytest.approx(line["student_loss"] + line["distillation_loss"])
    assert load_config(folder / "teacher.yml")["distill_loss"][0]["weight"] == 2
    assert load_config(folder / "config.yml")["LiteHRNet"]["network_type"] == "naive"
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 6
    assert cv2.imread(str(folder / "curves.png")).shape[0] > 800  # of four panels
    result = train("--distill_opt", "width=8", overrides=options)
    assert result.returncode == 2
    assert "--distill_opt and --teacher_cache need --distill_config FILE" in result.stderr


def test_a_share_without_a_batch_names_all_processes(coco_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("ppose.engine.train.rank_count", lambda: 2)
    cfg = load_config(CONFIG, [*small_run(coco_folder), "batch_size=4", "+TrainReader.drop_last=true"])
    expected = (
        "has 6 samples, batch_size is 4 on each of 2 processes .* set TrainReader.batch_size to 3 or less"
    )
    with pytest.raises(ConfigError, match=expected):
        make_trainer(cfg, tmp_path, seed=0, evaluates=False)


@pytest.mark.parametrize("name", [NAME, "hrnet_w32_256x192", "tinypose_128x96"])
def test_the_recorded_config_is_the_config(tmp_path, name):
    cfg = load_config(f"configs/{name}.yml", ["sigma=1.25"])
    file = tmp_path / "config.yml"
    file.write_text(dump_config(cfg))
    again = load_config(file)
    assert all(again[key] == cfg[key] for key in again)
    assert set(cfg) - set(again) <= {
        "sigma", "use_udp", "batch_size", "scale_factor", "rotation", "global_mean", "global_std", "width",
        "peak", "prob_flip", "prob_half_body", "num_joints_half_body", "is_scale",
    }  # fmt: skip
    assert Task(again).codec.sigma == 1.25


def test_bad_runs(train, coco_folder, tmp_path):
    data = small_run(coco_folder)
    assert_one_line(
        train(overrides=[*data, "batch_size=7", "+TrainReader.drop_last=true"]),
        "the dataset has 6 samples, batch_size is 7 and drop_last is true",
    )
    assert_one_line(train("--amp", overrides=data), "--amp bf16 needs a GPU", "leave --amp out")
    assert_one_line(
        train("--auto_scale_lr", overrides=[*data, "base_batch_size=null"]),
        "needs the number of images per step", "-o base_batch_size=512",
    )  # fmt: skip
    assert_one_line(train(overrides=[*data, "epoch=0"]), "epoch is 0, expected 1 or more")
    assert_one_line(train("--resume", overrides=data), "no training state to resume from at", NAME)
    (tmp_path / NAME).mkdir(exist_ok=True)
    (tmp_path / NAME / "train_state.npz").write_bytes(b"PK\x03\x04 not much")
    assert_one_line(train("--resume", overrides=data), "train_state.npz is no training state, or damaged")
    (tmp_path / "file").write_text("in the way")
    blocked = [*data, f"save_dir={tmp_path / 'file'}"]
    assert_one_line(train(overrides=blocked), str(tmp_path / "file"))
    assert_one_line(
        train("--weights", tmp_path / "none.pdparams", overrides=data), "no weights at", "none.pdparams"
    )
