"""Two processes train and evaluate as one does, stop together, and none outlives another's death."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ppose.data import Reader
from ppose.engine.evaluate import own_samples
from ppose.engine.state import read_state

ROOT = Path(__file__).resolve().parents[3]
CONFIG = "configs/naive_lite_hrnet_18_256x192_coco.yml"
NAME = "naive_lite_hrnet_18_256x192_coco"


@pytest.fixture
def launch(tmp_path):
    """Start a script on two processes of this machine."""
    started = []

    def _launch(*arguments):
        launcher = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2"]
        process = subprocess.Popen(
            [*launcher, "--log_dir", str(tmp_path / "ranks"), *map(str, arguments)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield _launch
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def finish(process):
    output, _ = process.communicate(timeout=240)
    return output


def overrides(data, folder, **values):
    names = {"dataset_dir": data, "image_dir": "images", "anno_path": "annotations.json"}
    given = {
        f"{name}.{key}": value for name in ("TrainDataset", "EvalDataset") for key, value in names.items()
    }
    given |= {
        "trainsize": "[64,64]", "hmsize": "[16,16]", "worker_num": 0, "log_iter": 1, "save_dir": folder,
        "OptimizerBuilder.optimizer.type": "SGD", "LearningRate.base_lr": 0.01,
        "LearningRate.schedulers.LinearWarmup.steps": 0, "EvalReader.batch_size": 4, **values,
    }  # fmt: skip
    return ["-o", *(f"{key}={value}" for key, value in given.items())]


def records(folder):
    return [json.loads(line) for line in (folder / NAME / "metrics.jsonl").read_text().splitlines()]


def test_a_training_of_two_ranks_is_that_of_one(launch, run_script, tmp_path):
    """Gradients of unequal batches, accumulated ones, synchronised batch norms; a loss that is not finite.

    With fake quantizers the ranks learn the same weights, each with ranges of its own until they are held.
    """
    alone, both = tmp_path / "alone", tmp_path / "both"
    alone.mkdir()
    both.mkdir()
    process = launch(ROOT / "tests" / "engine" / "distributed" / "ranks_script.py", both)
    output = finish(process)
    assert process.returncode == 0, output
    result = run_script("-m", "tests.engine.distributed.ranks_script", alone)
    assert result.returncode == 0, result.stderr
    expected, first, second = (
        dict(np.load(file)) for file in (alone / "0.npz", both / "0.npz", both / "1.npz")
    )
    moved = 0
    for name, value in expected.items():
        if "/" in name:
            np.testing.assert_allclose(first[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
            moved += (
                name.endswith("weight")
                and value.shape == (4, 3, 3, 3)
                and (value != expected["initial"]).all()
            )
    assert moved == 4
    assert (expected["adapters/0.adapter.weight"] != expected["adapter"]).all()
    assert expected["distilled/losses"].shape == (2, 4)  # loss, images, the student's part, distillation's
    assert expected["held/losses"][:, 1].tolist() == [7, 4, 7, 4]
    assert expected["accumulated/losses"][:, 1].tolist() == [11, 11]
    np.testing.assert_array_equal(first["learnt"], second["learnt"])
    assert (first["alphas"] != 0.5).all()
    assert (first["ranges"][0] != second["ranges"][0]).any()  # not where both ranks reach the same alpha
    assert (first["ranges"][1] == second["ranges"][1]).all()
    assert first["gathered"].tolist() == second["gathered"].tolist() == [0.5, 1.5]
    assert first["shared"] == second["shared"] == "é"
    for results in (first, second):
        assert "the loss of rank 1 is nan at step 1 (epoch 1); the weights are finite" in str(
            results["error"]
        )
        assert results["unchanged"]
    assert "diverged_step_1_rank_1.npz" in str(second["error"])
    assert [file.name for file in both.glob("diverged*")] == ["diverged_step_1_rank_1.npz"]


@pytest.mark.heavy
def test_train_and_evaluate_on_two_ranks(launch, run_script, coco_folder, tmp_path):
    """The same losses, weights and AP as one process with a batch twice as large, and one set of files."""
    options = ["--eval", "--seed", "5", "--auto_scale_lr"]
    values = {"sync_bn": "true", "epoch": 2, "snapshot_epoch": 1, "base_batch_size": 4}
    both = overrides(coco_folder, tmp_path / "both", batch_size=2, **values)
    alone = overrides(coco_folder, tmp_path / "alone", batch_size=4, **values)
    process = launch("tools/train.py", "-c", CONFIG, *options, *both)
    result = run_script("tools/train.py", "-c", CONFIG, *options, *alone)
    output = finish(process)
    assert process.returncode == 0, output
    assert result.returncode == 0, result.stderr
    assert "learning rate times 1: a step has 4 images (2 processes, batch_size 2" in output
    one, two = records(tmp_path / "alone"), records(tmp_path / "both")
    assert [line["step"] for line in two] == [line["step"] for line in one] == [1, 2, 2, 3, 4, 4]
    for line, other in zip(one, two, strict=True):
        for key in line.keys() & {"loss", "lr", "AP", "AR"}:
            assert other[key] == pytest.approx(line[key], rel=1e-2), key  # float32's noise, after the first
    assert two[0]["loss"] == pytest.approx(one[0]["loss"], rel=1e-5)
    for file in ("best_model.pdparams", "model_final.pdparams"):
        assert (tmp_path / "both" / NAME / file).is_file()
    assert read_state(tmp_path / "both" / NAME).ranks == 2
    assert output.count("trained 2 epochs") == 1
    assert "trained" not in (tmp_path / "ranks" / "workerlog.1").read_text()


@pytest.mark.heavy
def test_ap_of_two_ranks_is_exactly_that_of_one(launch, run_script, write_coco, tmp_path):
    folder = write_coco(tmp_path / "data", images=7)  # 14 people: batches of 4, 4, 4 and 2
    run = overrides(folder, tmp_path, epoch=1, batch_size=8)
    assert run_script("tools/train.py", "-c", CONFIG, *run).returncode == 0
    evaluate = ["tools/eval.py", "-c", CONFIG, "--save_prediction_only", *run, f"weights={tmp_path / NAME}"]
    process = launch(*evaluate, "worker_num=1", "--output_eval", tmp_path / "both")
    assert run_script(*evaluate, "--output_eval", tmp_path / "alone").returncode == 0
    output = finish(process)
    assert process.returncode == 0, output
    results = [
        json.loads((tmp_path / name / "keypoints_results.json").read_text()) for name in ("alone", "both")
    ]
    assert results[0] == results[1]
    assert len(results[0]) > 7


@pytest.mark.parametrize("victim", ["rank", pytest.param("launcher", marks=pytest.mark.heavy)])
def test_ranks_stop_together(launch, write_coco, tmp_path, victim):
    """A killed rank ends the run with an error; a signal to the launcher ends it with its state saved."""
    folder = write_coco(tmp_path / "data", images=30)  # 60 people: 15 steps
    options = overrides(folder, tmp_path, epoch=15, snapshot_epoch=15, batch_size=2, worker_num=1)
    command = ["tools/train.py", "-c", CONFIG, *options]
    process = launch(*command)
    for line in process.stdout:
        if "epoch 1/15 step 2/15" in line:
            break
    pids = sorted(children_of(process.pid))
    workers = [worker for pid in pids for worker in children_of(pid)]
    assert len(pids) == len(workers) == 2
    if victim == "rank":
        os.kill(pids[-1], signal.SIGKILL)
    else:
        process.terminate()
    output = finish(process)
    assert process.returncode != 0
    wait_for_the_end_of([*pids, *workers])
    if victim == "rank":
        assert "lost another process of this run" in output or "Pod failed" in output
        assert "Traceback" not in output
        assert not list((tmp_path / NAME).glob("*.npz*"))
        return
    last = records(tmp_path)[-1]["step"]
    assert f"stopped by SIGTERM after step {last}" in (tmp_path / "ranks" / "workerlog.0").read_text()
    state = read_state(tmp_path / NAME)
    assert 15 * state.progress.epoch + state.progress.step_in_epoch == last
    again = launch(*command, f"epoch={state.progress.epoch + 1}", "--resume")
    output = finish(again)
    assert again.returncode == 0, output
    assert f"from step {last}" in output


def children_of(parent):
    """The ranks of a launcher, or the data workers of a rank."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def is_running(pid):
    """Whether a process is there, and no zombie that nobody collects."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_the_end_of(pids):
    for _ in range(100):
        if not any(is_running(pid) for pid in pids):
            return
        time.sleep(0.1)
    pytest.fail("a process outlived the run")


# --- shares --------------------------------------------------------------------------------------------


class Indexes:
    def __init__(self, count):
        self._count = count

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        return {}


def shares(count, ranks, *, batch_size=2, epoch=0, start=0, **options):
    """The indexes of each batch of each rank."""
    found = []
    for rank in range(ranks):
        reader = Reader([], batch_size=batch_size, shuffle=True, **options)
        batches = reader.batches(Indexes(count), workers=0, seed=7, rank=rank, ranks=ranks)
        batches.epoch, batches.start = epoch, start
        found.append([batch["index"].tolist() for batch in batches])
        assert len(found[-1]) == len(batches) - start
    return found


@pytest.mark.parametrize(("count", "ranks"), [(12, 3), (11, 3), (8, 3), (13, 2), (5, 1)])
def test_ranks_share_the_batches_of_one(count, ranks):
    """A batch of n ranks is one of n times the size; everybody once, but for what fills the last batch."""
    whole = shares(count, 1, batch_size=2 * ranks, epoch=1)[0]
    parts = shares(count, ranks, epoch=1)
    assert len({len(part) for part in parts}) == 1
    for number, batch in enumerate(whole):
        together = [index for part in parts for index in part[number]]
        assert together[: len(batch)] == batch
        assert set(together[len(batch) :]) <= {index for one in whole for index in one}
        assert len(together) == max(len(batch), ranks)
        assert max(len(part[number]) for part in parts) - min(len(part[number]) for part in parts) <= 1
    assert shares(count, ranks, epoch=1, start=1) == [part[1:] for part in parts]


def test_a_last_batch_is_filled_even_from_a_small_dataset():
    assert [[len(batch) for batch in part] for part in shares(1, 4)] == [[1]] * 4
    assert shares(7, 2, drop_last=True) == [part[:1] for part in shares(7, 2)]


@pytest.mark.parametrize("count", [0, 3, 4, 5, 9, 14])
def test_an_evaluation_takes_everybody_once_in_the_same_batches(monkeypatch, count):
    parts = []
    for rank in range(3):
        monkeypatch.setattr("ppose.engine.evaluate.rank_count", lambda: 3)
        monkeypatch.setattr("ppose.engine.evaluate.this_rank", lambda rank=rank: rank)
        parts.append(own_samples(count, 4).tolist())
    assert sorted(index for part in parts for index in part) == list(range(count))
    batches = [part[first : first + 4] for part in parts for first in range(0, len(part), 4)]
    assert sorted(batches) == [list(range(first, min(first + 4, count))) for first in range(0, count, 4)]
