"""The training loop and its hooks on a small network, against plain numpy."""

import numpy as np
import paddle
import pytest
from engine.small_trainer import ListLoader, Recorder, arrays, assert_equal_arrays, make_model, make_trainer
from paddle import nn

from ppose.engine.ema import MovingAverage
from ppose.engine.hooks.run import SaveCheckpoints
from ppose.engine.trainer import DivergenceError, Hook


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
