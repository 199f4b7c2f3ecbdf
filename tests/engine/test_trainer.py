"""The training loop and its hooks on a small network, against plain numpy and Paddle's own schedules."""

import errno
import json
import math

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.engine.ema import MovingAverage
from ppose.engine.hooks.run import Evaluate, LogProgress, RunLog, SaveCheckpoints
from ppose.engine.objective import LabelObjective
from ppose.engine.optimizer import LearningRate, OptimizerBuilder, Regularizer
from ppose.engine.state import read_state, write_state
from ppose.engine.trainer import DivergenceError, Hook, Trainer
from ppose.errors import CheckpointError, ConfigError
from ppose.models import KeyPointMSELoss
from ppose.schedules import CosineDecay, LinearWarmup, PiecewiseDecay, PolynomialDecay
from ppose.weights.reader import read_weights
from ppose.workspace import create, load_config


class ListLoader:
    """Batches (of 2 images, unless said) from a fixed pool, in an order of the epoch's own."""

    def __init__(self, images=8, batch_size=2):
        rng = np.random.default_rng(0)
        self.images = rng.standard_normal((images, 3, 8, 8)).astype(np.float32)
        self.heatmaps = rng.uniform(size=(images, 2, 8, 8)).astype(np.float32)
        self.batch_size, self.epoch, self.start = batch_size, 0, 0

    def __len__(self):
        return math.ceil(len(self.images) / self.batch_size)

    def __iter__(self):
        order = np.random.default_rng(self.epoch).permutation(len(self.images))
        for batch in range(self.start, len(self)):
            index = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield {
                "image": paddle.to_tensor(self.images[index]),
                "heatmaps": paddle.to_tensor(self.heatmaps[index]),
                "target_weight": paddle.ones([len(index), 2, 1]),
                "index": paddle.to_tensor(index),
            }


def make_model(channels=4):
    paddle.seed(1)
    return nn.Sequential(
        nn.Conv2D(3, channels, 3, padding=1), nn.BatchNorm2D(channels), nn.ReLU(), nn.Dropout(0.2),
        nn.Conv2D(channels, 2, 1),
    )  # fmt: skip


def make_trainer(hooks=(), *, model=None, loader=None, epochs=2, optimizer="Adam", rate=0.01, **options):
    model = make_model() if model is None else model
    loader = ListLoader() if loader is None else loader
    schedule = LearningRate(rate)(len(loader))
    built = OptimizerBuilder({"type": optimizer})(schedule, model.parameters())
    return Trainer(model, loader, built, LabelObjective(KeyPointMSELoss()), hooks, epochs=epochs, **options)


def arrays(model):
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def assert_equal_arrays(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


class Recorder(Hook):
    def __init__(self, stop_at=None):
        self.moments, self.losses, self.rates, self.stop_at = [], [], [], stop_at

    def before_train(self, trainer):
        self.moments.append("before_train")

    def before_epoch(self, trainer):
        self.moments.append(f"before_epoch {trainer.progress.epoch}")

    def after_step(self, trainer):
        self.moments.append(f"after_step {trainer.step}")
        self.losses.append(trainer.report.loss)
        self.rates.append(trainer.report.learning_rate)
        if trainer.step == self.stop_at:
            trainer.stop(interrupted=True)

    def after_epoch(self, trainer):
        self.moments.append(f"after_epoch {trainer.progress.epoch}")

    def after_train(self, trainer):
        self.moments.append("after_train")


def test_hooks_are_called_in_order():
    recorder = Recorder()
    make_trainer([recorder], loader=ListLoader(4)).fit()
    assert recorder.moments == [
        "before_train",
        "before_epoch 0", "after_step 1", "after_step 2", "after_epoch 1",
        "before_epoch 1", "after_step 3", "after_step 4", "after_epoch 2",
        "after_train",
    ]  # fmt: skip
    stopped = Recorder(stop_at=3)
    trainer = make_trainer([stopped], loader=ListLoader(4))
    trainer.fit()
    assert stopped.moments == [*recorder.moments[:7], "after_train"]
    assert (trainer.progress.epoch, trainer.progress.step_in_epoch, trainer.interrupted) == (1, 1, True)


@pytest.mark.parametrize("optimizer", ["Adam", "AdamW", "Momentum", "SGD"])
def test_every_optimizer_lowers_the_loss(optimizer):
    recorder = Recorder()
    rate = 0.5 if optimizer in ("Momentum", "SGD") else 0.02
    make_trainer([recorder], epochs=12, optimizer=optimizer, rate=rate).fit()
    assert np.mean(recorder.losses[-4:]) < 0.7 * np.mean(recorder.losses[:4])


def test_accumulated_batches_are_one_large_batch():
    results = []
    for size, accumulate in ((5, 1), (2, 3)):  # batches of 2, 2 and 1 make one of 5
        paddle.seed(3)
        model = nn.Conv2D(3, 2, 3, padding=1)
        recorder = Recorder()
        loader = ListLoader(5, size)
        make_trainer(
            [recorder], model=model, loader=loader, optimizer="SGD", rate=1.0, accumulate=accumulate
        ).fit()
        results.append((recorder.losses, arrays(model)))
    assert len(results[1][0]) == 2
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    for name, value in results[0][1].items():
        np.testing.assert_allclose(results[1][1][name], value, atol=1e-6)


def test_moving_average_is_that_of_a_plain_loop():
    model = make_model()
    average = MovingAverage(model, 0.6)
    expected = {name: value.astype(np.float64) for name, value in arrays(model).items()}

    class Follow(Hook):
        def after_step(self, trainer):
            decay = min(0.6, (1 + trainer.step) / (10 + trainer.step))
            for name, value in arrays(trainer.model).items():
                expected[name] = decay * expected[name] + (1 - decay) * value

    trainer = make_trainer([Follow()], model=model, epochs=5, average=average)
    trainer.fit()
    own = arrays(model)
    with trainer.averaged():
        for name, value in arrays(model).items():
            np.testing.assert_allclose(value, expected[name], atol=1e-6, err_msg=name)
            assert "num" in name or not np.array_equal(value, own[name])
    assert_equal_arrays(own, arrays(model))


def test_a_loss_that_is_not_finite_stops_before_it_does_harm(tmp_path):
    loader = ListLoader()
    loader.heatmaps[np.random.default_rng(0).permutation(8)[4]] = np.nan  # of the third batch
    model = make_model()
    before = {}

    class Keep(Hook):
        def after_step(self, trainer):
            before.update(arrays(trainer.model))

    trainer = make_trainer([Keep()], model=model, loader=loader, diagnostics=tmp_path)
    with pytest.raises(
        DivergenceError, match=r"the loss is nan at step 3 \(epoch 1\); the weights are fin"
    ) as e:
        trainer.fit()
    file = tmp_path / "diverged_step_3.npz"
    assert str(file) in str(e.value)
    with np.load(file) as saved:
        assert saved["index"].tolist() == np.random.default_rng(0).permutation(8)[4:6].tolist()
        assert np.isnan(saved["heatmaps"]).any()
        assert saved["prediction"].shape == saved["heatmaps"].shape == (2, 2, 8, 8)
    for name, parameter in model.named_parameters():
        if "_mean" not in name and "_variance" not in name:
            np.testing.assert_array_equal(parameter.numpy(), before[name])


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    loader = ListLoader()
    trainer = make_trainer([SaveCheckpoints(tmp_path, every=1, keep=1)], loader=loader, epochs=1)
    trainer.fit()
    before = (tmp_path / "train_state.npz").read_bytes()
    loader.images[0] = np.nan  # ReLU hides it from the loss, not from the batch norm's statistics
    trainer.epochs = 2
    with pytest.raises(DivergenceError, match=r"not finite at step 8, the first is .*stays unchanged"):
        trainer.fit()
    assert (tmp_path / "train_state.npz").read_bytes() == before
    assert [file.stem for file in (tmp_path / "model_dump").glob("*.npz")] == ["1"]


HEADLINE = ("AP", "AP50", "AP75", "AR")


# --- files ---------------------------------------------------------------------------------------------


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


# --- states that do not fit ----------------------------------------------------------------------------


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


# --- schedules -----------------------------------------------------------------------------------------


def test_schedules_are_those_of_paddle():
    lr = paddle.optimizer.lr
    ours = {
        "cosine": (CosineDecay(5, 0.1), lr.CosineAnnealingDecay(1.0, T_max=20, eta_min=0.1)),
        "poly": (PolynomialDecay(5, 0.9, 0.1), lr.PolynomialDecay(1.0, 20, end_lr=0.1, power=0.9)),
        "piecewise": (PiecewiseDecay([2, 4], 0.5), lr.PiecewiseDecay([8, 16], [1.0, 0.5, 0.25])),
    }
    for name, (schedule, theirs) in ours.items():
        for step in range(20):
            np.testing.assert_allclose(schedule(step, 4), theirs(), rtol=1e-6, err_msg=f"{name} {step}")
            theirs.step()
    assert CosineDecay(5, 0.1)(30, 4) == pytest.approx(0.1)
    assert PolynomialDecay(5)(30, 4) == 0
    with pytest.raises(ConfigError, match="max_epochs is 0"):
        CosineDecay(0)


def test_the_rate_of_each_step_is_the_schedules():
    model, loader, recorder = make_model(), ListLoader(), Recorder()
    rate = LearningRate(0.1, [LinearWarmup(4, 0.5), PiecewiseDecay([1], 0.1)])(len(loader))
    optimizer = OptimizerBuilder({"type": "SGD"})(rate, model.parameters())
    Trainer(model, loader, optimizer, LabelObjective(KeyPointMSELoss()), [recorder], epochs=2).fit()
    np.testing.assert_allclose(recorder.rates, [0.05, 0.0625, 0.075, 0.0875, 0.01, 0.01, 0.01, 0.01])


def test_a_regularizer_of_other_keys_is_an_error_and_not_no_decay():
    config = "configs/hrnet_w32_256x192.yml"
    with pytest.raises(ConfigError, match=r"OptimizerBuilder\.regularizer\.coeff: unknown key"):
        load_config(config, ["OptimizerBuilder.regularizer={type: L2, coeff: 0.1}"])
    cfg = load_config(config, ["OptimizerBuilder.regularizer={type: L2, factor: 0.1}"])
    model = make_model()
    optimizer = create("OptimizerBuilder", cfg)(LearningRate()(1), model.parameters())
    assert str(optimizer.regularization) == "L2Decay, coeff=0.100000"


def test_adamw_takes_no_regularizer():
    builder = OptimizerBuilder({"type": "AdamW"}, Regularizer("L2", 0.1))
    with pytest.raises(ConfigError, match=r"regularizer: AdamW .*optimizer\.weight_decay"):
        builder(LearningRate()(1), make_model().parameters())


def test_a_warm_up_that_is_most_of_the_training_is_reported(caplog):
    rate = LearningRate(0.002, [LinearWarmup(steps=500)])
    rate.check(1000)
    assert not caplog.records
    rate.check(210)
    assert "warms up for 210 of the training's 210 steps" in caplog.text
    assert "batch_size" in caplog.text
