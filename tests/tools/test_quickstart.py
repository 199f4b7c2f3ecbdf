"""The first run: from drawn people to pictures of their poses, or one line about what went wrong."""

import importlib.util
import io
import re
from pathlib import Path

import pytest
from runs import assert_one_line
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/synthetic_pose_resnet.yml"


def options(folder):
    data = [
        f"{part}Dataset.dataset_dir={folder}/data/{name}"
        for part, name in (("Train", "train"), ("Eval", "val"))
    ]
    return ["-o", *data, f"save_dir={folder}/output", f"weights={folder}/output/synthetic_pose_resnet"]


@pytest.mark.heavy
def test_the_first_run(run_script, tmp_path):
    few = ["--images", "24", "--val_images", "3", "--output_dir", tmp_path / "exported"]
    small = ["epoch=2", "snapshot_epoch=2", "log_iter=1", "batch_size=4", "worker_num=0"]
    done = run_script("tools/quickstart.py", "-c", CONFIG, *few, *options(tmp_path), *small)
    assert done.returncode == 0, done.stdout + done.stderr
    output = tmp_path / "output" / "synthetic_pose_resnet"
    for line in (
        r"/data/train: 24 images, \d+ people",
        r"epoch 2: AP 0\.\d{4}, ",
        r"(?m)^AP\b|\bAP .*0\.\d",
        r"tools/export_model\.py",
        r"Done in \d+ min \d+ s",
        rf"3 pictures: +{output}/deployed, such as \w+\.jpg",
    ):
        assert re.search(line, done.stdout), line
    for file in ("best_model.pdparams", "log/quickstart.log", "log/workerlog.0", "log/workerlog.1"):
        assert (output / file).is_file(), file
    assert len(list((output / "deployed").glob("*.jpg"))) == 3
    assert "LAUNCH INFO" in (output / "log" / "quickstart.log").read_text()
    assert "LAUNCH INFO" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_step_that_fails_ends_it_with_its_words(run_script, tmp_path):
    done = run_script("tools/quickstart.py", "-c", CONFIG, "--images", "-1", *options(tmp_path))
    assert_one_line(done, "dataset/make_synthetic.py ended with exit code 1", "got -1 images")


def test_the_bar_follows_the_training(tmp_path):
    """And the lines that the training writes are those that it is read from."""
    spec = importlib.util.spec_from_file_location("quickstart", ROOT / "tools" / "quickstart.py")
    quickstart = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(quickstart)
    log, bar = tmp_path / "train.log", tqdm(file=io.StringIO())
    quickstart._show_progress(bar, log)
    assert (bar.n, bar.total) == (0, None)
    log.write_text(
        "2026-11-26 21:13:31 training 4 epochs of 282 steps\n"
        "2026-11-26 21:14:52 epoch 2/4 step 100/282 loss 0.098246 lr 0.00583 data 0.004 s step 0.781 s "
        "41.0 images/s to go 0:13:23\n2026-11-26 21:14:53 epo"
    )
    quickstart._show_progress(bar, log)
    assert (bar.n, bar.total) == (382, 1128)
    assert bar.postfix == "images_s=41.0, loss=0.0982"
