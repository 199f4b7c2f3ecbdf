"""A run that is stopped and resumed is the run that was not, and no kill loses what was saved."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from runs import StopAt, data_overrides, without_pictures

from ppose.engine.hooks.run import Evaluate
from ppose.engine.state import read_state
from ppose.engine.train import make_trainer
from ppose.errors import CheckpointError
from ppose.workspace import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "naive_lite_hrnet_18_256x192_coco.yml"


@pytest.fixture
def overrides(coco_folder):
    """A small run: 6 people in 3 batches an epoch."""
    return [
        *data_overrides(coco_folder),
        "LiteHRNet.network_type=lite_8", "width=40",
        "trainsize=[64,64]", "hmsize=[16,16]", "batch_size=2", "worker_num=0", "log_iter=1", "epoch=4",
        "snapshot_epoch=1", "use_ema=true", "ema_decay=0.9", "LearningRate.schedulers.LinearWarmup.steps=7",
    ]  # fmt: skip


def train(overrides, folder, *, stop_at=None, state=None, seed=3, more=()):
    cfg = load_config(CONFIG, [*overrides, *more])
    trainer = without_pictures(make_trainer(cfg, folder, seed=seed, evaluates=False, state=state))
    if stop_at is not None:
        trainer.hooks.insert(0, StopAt(stop_at))
    trainer.fit()
    return trainer


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: (line["loss"], line["lr"]) for line in lines if "loss" in line}


@pytest.mark.parametrize(("stop_at", "workers"), [(6, 0), (4, 2)])
def test_a_resumed_run_equals_the_straight_one(overrides, tmp_path, stop_at, workers):
    """Four epochs, against stopping after two of them or within the second."""
    straight = train(overrides, tmp_path / "straight")
    more = [f"worker_num={workers}"]
    train(overrides, tmp_path / "parts", stop_at=stop_at, more=more)
    assert len(losses(tmp_path / "parts")) == stop_at
    state = read_state(tmp_path / "parts")
    assert state.seed == 3
    resumed = train(overrides, tmp_path / "parts", state=state, seed=state.seed, more=more)
    expected, got = losses(tmp_path / "straight"), losses(tmp_path / "parts")
    assert list(got) == list(expected) == list(range(1, 13))
    np.testing.assert_allclose(list(got.values()), list(expected.values()), rtol=0, atol=1e-6)
    one, other = (read_state(tmp_path / name) for name in ("straight", "parts"))
    assert len(one.optimizer) == 4 * sum(not p.stop_gradient for p in straight.model.parameters())
    for group in ("model", "average", "optimizer"):
        assert getattr(one, group).keys() == getattr(other, group).keys()
        for name, array in getattr(one, group).items():
            np.testing.assert_allclose(getattr(other, group)[name], array, rtol=0, atol=1e-6, err_msg=name)
    assert resumed.progress == straight.progress


def test_seeds_and_epochs_differ(overrides, tmp_path):
    overrides = [*overrides, "epoch=1", "LearningRate.base_lr=0.0"]
    runs = {}
    for seed in (3, 4, 3):
        train(overrides, tmp_path / "run", seed=seed)
        new = list(losses(tmp_path / "run").values())
        np.testing.assert_allclose(runs.setdefault(seed, new), new, rtol=0, atol=1e-6)
    assert not np.allclose(runs[3], runs[4], rtol=0, atol=1e-6)


def test_with_another_number_of_ranks_an_epoch_begins_anew(overrides, tmp_path, caplog):
    train(overrides, tmp_path / "run", stop_at=4)
    state = read_state(tmp_path / "run")
    assert (state.ranks, state.progress.epoch, state.progress.step_in_epoch) == (1, 1, 1)
    state.ranks = 2
    trainer = make_trainer(
        load_config(CONFIG, overrides), tmp_path / "run", seed=3, evaluates=False, state=state
    )
    assert (trainer.progress.epoch, trainer.progress.step_in_epoch) == (1, 0)
    assert "had 2 ranks and 3 steps per epoch, and has 1 and 3 now: epoch 2 starts over" in caplog.text


def test_other_settings_of_the_processor_are_reported(overrides, tmp_path, caplog, monkeypatch):
    """And the state that was written before there were any speaks of none."""
    monkeypatch.setenv("KMP_BLOCKTIME", "0")
    monkeypatch.delenv("MKL_DEBUG_CPU_TYPE", raising=False)
    train(overrides, tmp_path / "run", stop_at=1)
    state = read_state(tmp_path / "run")
    assert state.processor_settings == {"KMP_BLOCKTIME": "0"}
    cfg = load_config(CONFIG, overrides)
    make_trainer(cfg, tmp_path / "run", seed=3, evaluates=False, state=state)
    assert "CPU settings" not in caplog.text
    state.processor_settings = {}
    make_trainer(cfg, tmp_path / "run", seed=3, evaluates=False, state=state)
    assert "CPU settings were none and are KMP_BLOCKTIME=0 now: losses may differ in rounding" in caplog.text


@pytest.mark.parametrize(("images", "factor"), [(24, 0.25), (3, 2.0)])
def test_the_learning_rate_fits_the_images_of_a_step(overrides, tmp_path, caplog, images, factor):
    """batch_size 2, three of them a step: 6 images."""
    caplog.set_level("INFO")
    options = [*overrides, "accumulate=3", f"base_batch_size={images}"]
    cfg = load_config(CONFIG, options)
    rates = [
        make_trainer(cfg, tmp_path, seed=0, evaluates=False, scales_rate=scales).optimizer.get_lr()
        for scales in (False, True)
    ]
    assert rates[1] == pytest.approx(rates[0] * factor)
    assert f"learning rate times {factor:g}: a step has 6 images" in caplog.text
    assert caplog.text.count("learning rate times") == 1


def test_a_state_of_another_network_is_refused(overrides, tmp_path):
    train([*overrides, "epoch=1"], tmp_path / "run")
    other = ["LiteHRNet.network_type=lite_18", "width=40"]
    with pytest.raises(CheckpointError, match="the training state is of another network"):
        train(overrides, tmp_path / "run", state=read_state(tmp_path / "run"), more=other)


def test_an_evaluation_that_a_kill_prevented_is_made_up_for(overrides, tmp_path):
    cfg, folder = load_config(CONFIG, [*overrides, "epoch=1"]), tmp_path / "run"

    def run(evaluate, state=None):
        trainer = make_trainer(cfg, folder, seed=3, evaluates=True, state=state)
        hook = next(hook for hook in trainer.hooks if isinstance(hook, Evaluate))
        hook._evaluate = evaluate
        trainer.fit()

    def die(network, check):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(die)
    assert read_state(folder).progress.epoch == 1
    assert not (folder / "best_model.pdparams").exists()
    asked = []
    for _ in range(2):  # the second time it is there
        run(
            lambda network, check: asked.append(1) or dict.fromkeys(("AP", "AP50", "AP75", "AR"), 0.5),
            read_state(folder),
        )
        assert (folder / "best_model.pdparams").is_file()
        assert read_state(folder).progress.evaluated == 1
    assert asked == [1]


WRITER = """
import sys
import numpy as np
from ppose.engine.state import Progress, TrainState, write_state
step = 0
while True:
    step += 1
    arrays = {str(n): np.full((1000, 1000), step, np.float32) for n in range(4)}
    write_state(sys.argv[1], TrainState(Progress(step), 1, 0, "Adam", arrays))
    print(step, flush=True)
"""


def test_kill_while_a_state_is_written_leaves_the_last_one_whole(tmp_path):
    file = tmp_path / "train_state.npz"
    waits = np.linspace(0, 0.08, 5)
    half_written = 0
    for wait in waits:
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(file)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        written = int(writer.stdout.readline())
        time.sleep(wait)
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].split()
        written = int(rest[-1]) if rest else written
        state = read_state(file)
        assert state.progress.epoch in (written, written + 1)  # the print may have been cut off
        assert all((array == state.progress.epoch).all() for array in state.model.values())
        half_written += len(list(tmp_path.glob(".*.part")))
        file.unlink()
    assert half_written > 0  # some were killed on the way, or the test shows nothing


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_run_and_leaves_with_a_line(overrides, tmp_path, number, code):
    """As a terminal does it, SIGINT goes to the loader's workers too."""
    options = [*overrides, f"save_dir={tmp_path}", "epoch=50", "snapshot_epoch=50", "worker_num=1"]
    run = [sys.executable, "tools/train.py", "-c", str(CONFIG), "-o", *options]
    process = subprocess.Popen(
        run, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    for line in process.stdout:
        if "epoch 2/50" in line:
            break
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code, error
    assert f"stopped by {number.name} after step" in error
    assert "Traceback" not in error
    folder = tmp_path / CONFIG.stem
    steps = len(losses(folder))
    state = read_state(folder)
    assert state.progress.epoch * 3 + state.progress.step_in_epoch == steps >= 4
    assert not (folder / "model_final.pdparams").exists()
    assert not list(folder.rglob("*.part"))
    if number == signal.SIGTERM:
        last = f"epoch={state.progress.epoch + 1}"
        again = subprocess.run(
            [*run, last, "snapshot_epoch=1", "--resume"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert again.returncode == 0, again.stderr
        assert f"from step {steps}" in again.stdout
        assert list(losses(folder)) == list(range(1, 3 * state.progress.epoch + 4))
        assert (folder / "model_final.pdparams").is_file()
