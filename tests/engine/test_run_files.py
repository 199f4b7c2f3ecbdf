"""The files of a training run: its folder, its log, and states that do not fit."""

import errno
import json

import numpy as np
import pytest
from engine.small_trainer import ListLoader, Recorder, arrays, assert_equal_arrays, make_model, make_trainer

from ppose.engine.ema import MovingAverage
from ppose.engine.hooks.run import Evaluate, LogProgress, RunLog, SaveCheckpoints
from ppose.engine.state import read_state, write_state
from ppose.errors import CheckpointError
from ppose.weights.reader import read_weights

HEADLINE = ("AP", "AP50", "AP75", "AR")


def test_the_folder_of_a_run(tmp_path):
    values = iter([0.2, 0.6, 0.5, 0.4, 0.3])
    evaluated = []

    def evaluate(model, check):
        evaluated.append(arrays(model))
        return dict.fromkeys(("AP50", "AP75", "AR"), 0.0) | {"AP": next(values)}

    log = RunLog(tmp_path, echo=False)
    hooks = [
        LogProgress(log, 3),
        SaveCheckpoints(tmp_path, every=2, keep=2),
        Evaluate(evaluate, tmp_path, log, headline=HEADLINE, every=2),
    ]
    (tmp_path / "model_dump").mkdir()
    for other in ("100.npz", "100.pdparams", "1.pdparams", "notes.txt"):  # of an earlier, longer run
        (tmp_path / "model_dump" / other).touch()
    model = make_model()
    trainer = make_trainer(hooks, model=model, epochs=9, average=MovingAverage(model, 0.5))
    trainer.fit()
    names = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file())
    assert names == [
        "best_model.pdparams", "log/train.log", "metrics.jsonl",
        "model_dump/100.npz", "model_dump/100.pdparams", "model_dump/8.npz", "model_dump/8.pdparams",
        "model_dump/9.npz", "model_dump/9.pdparams", "model_dump/notes.txt",
        "model_final.pdparams", "train_state.npz",
    ]  # fmt: skip
    assert len(evaluated) == 5  # epochs 2, 4, 6, 8 and the last
    assert_equal_arrays(read_weights(tmp_path / "best_model.pdparams"), evaluated[1])
    assert_equal_arrays(read_weights(tmp_path / "model_final.pdparams"), evaluated[4])
    state = read_state(tmp_path)
    assert (state.progress.epoch, state.progress.best, state.progress.best_epoch) == (9, 0.6, 4)
    assert_equal_arrays(state.model, arrays(model))
    assert not np.array_equal(state.model["0.weight"], state.average["0.weight"])
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps == [step for epoch in range(9) for step in (4 * epoch + 3, 4 * epoch + 4)]
    assert [line["AP"] for line in lines if "AP" in line] == [0.2, 0.6, 0.5, 0.4, 0.3]
    assert "best AP 0.6000, epoch 4" in (tmp_path / "log" / "train.log").read_text()


def test_the_logged_loss_is_the_mean_of_the_last_steps(tmp_path):
    recorder = Recorder()
    make_trainer([recorder, LogProgress(RunLog(tmp_path, echo=False), 3)], epochs=2).fit()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        step = line["step"]
        np.testing.assert_allclose(line["loss"], np.mean(recorder.losses[max(step - 3, 0) : step]))
        assert line["step_time"] >= line["data_time"] >= 0


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    values = iter([np.nan, 0.6, 0.6, 0.1, 0.9])
    hook = Evaluate(
        lambda model, check: dict.fromkeys(("AP50", "AP75", "AR"), 0.0) | {"AP": next(values)},
        tmp_path, RunLog(tmp_path, echo=False), headline=HEADLINE, every=1, patience=2,
    )  # fmt: skip
    trainer = make_trainer([hook, SaveCheckpoints(tmp_path, every=9, keep=1)], epochs=9)
    trainer.fit()
    assert trainer.progress.epoch == 4
    assert not trainer.interrupted
    state = read_state(tmp_path)
    assert (state.progress.best, state.progress.best_epoch) == (0.6, 2)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line, parse_constant=pytest.fail)["AP"] for line in lines] == [None, 0.6, 0.6, 0.1]
    assert (tmp_path / "model_final.pdparams").is_file()


def test_an_interrupt_ends_an_evaluation_which_is_made_up_for_later(tmp_path):
    def evaluate(model, check):
        trainer.stop(interrupted=True)
        check()
        pytest.fail("goes on")

    hook = Evaluate(evaluate, tmp_path, RunLog(tmp_path, echo=False), headline=HEADLINE, every=1)
    trainer = make_trainer([SaveCheckpoints(tmp_path, every=1, keep=1), hook], epochs=3)
    trainer.fit()
    assert trainer.interrupted
    progress = read_state(tmp_path).progress
    assert (progress.epoch, progress.step_in_epoch, progress.evaluated) == (1, 0, 0)


def test_metrics_of_steps_that_are_done_again_are_dropped(tmp_path):
    lines = [{"step": 2, "loss": 1}, {"step": 4, "AP": 0}, {"step": 6, "loss": 2}]
    text = "\n".join(map(json.dumps, lines))
    (tmp_path / "metrics.jsonl").write_text(text + '\n{"step": 4, "lo')
    RunLog(tmp_path, echo=False).begin(4)
    kept = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert kept == lines[:2]
    RunLog(tmp_path, echo=False).begin(0)
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_a_full_disk_names_the_file_and_keeps_the_earlier_state(tmp_path, monkeypatch):
    trainer = make_trainer()
    file = tmp_path / "train_state.npz"
    trainer.save(file)
    before = file.read_bytes()

    def fill(out, **content):
        out.write(b"PK half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ppose.engine.state.np.savez", fill)
    with pytest.raises(OSError, match="No space left") as error:
        trainer.save(file)
    assert error.value.filename == str(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["train_state.npz"]


@pytest.mark.parametrize("damage", ["half", "one byte", "text", "pickle", "array", "empty"])
def test_a_damaged_state_is_one_line_that_names_it(tmp_path, damage):
    file = tmp_path / "train_state.npz"
    make_trainer().save(file)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    content = {
        "half": data[: len(data) // 2], "one byte": data, "text": b"no state", "empty": b"",
        "pickle": b"\x80\x04N.", "array": b"",
    }[damage]  # fmt: skip
    file.write_bytes(content)
    if damage == "array":
        np.savez(file, objects=np.array([{}], dtype=object))
    with pytest.raises(CheckpointError, match=r"train_state\.npz is no training state, or damaged") as error:
        read_state(tmp_path)
    assert "\n" not in str(error.value)


def test_no_state(tmp_path):
    with pytest.raises(CheckpointError, match=r"no training state to resume from at .*train_state\.npz"):
        read_state(tmp_path)
    with pytest.raises(CheckpointError, match=r"no training state to resume from at .*none"):
        read_state(tmp_path / "none")


def test_a_state_of_something_else_is_refused(tmp_path):
    trainer = make_trainer()
    trainer.fit()
    trainer.save(tmp_path / "a.npz")
    state = read_state(tmp_path / "a.npz")
    other = make_model(5)
    before = arrays(other)
    with pytest.raises(CheckpointError, match=r"another network.*0\.weight: got \(4, .*expected \(5, "):
        make_trainer(model=other).resume(state)
    assert_equal_arrays(before, arrays(other))
    with pytest.raises(CheckpointError, match=r"of optimizer Adam, the config's is SGD"):
        make_trainer(optimizer="SGD").resume(state)
    state.progress.step_in_epoch = 3
    write_state(tmp_path / "b.npz", state)
    longer = make_trainer(loader=ListLoader(20))
    longer.resume(read_state(tmp_path / "b.npz"))
    assert longer.progress.step_in_epoch == 0  # an epoch of other steps begins anew
    assert longer.step == 20
