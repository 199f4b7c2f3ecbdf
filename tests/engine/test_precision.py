"""Mixed precision up to Paddle's calls, which do nothing on a CPU; a float32 loss; the scale is kept."""

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.engine.objective import LabelObjective
from ppose.engine.optimizer import LearningRate, OptimizerBuilder
from ppose.engine.precision import Precision, check_precision
from ppose.engine.state import read_state
from ppose.engine.trainer import Trainer
from ppose.errors import DeviceError
from ppose.models import KeyPointMSELoss


class Scaler:
    """Paddle's GradScaler as documented, in a few lines: no gradient that overflows reaches the weights."""

    def __init__(self, enable, init_loss_scaling):
        self._state = {
            "scale": np.array([init_loss_scaling], np.float32), "incr_ratio": 2.0, "decr_ratio": 0.5,
            "incr_every_n_steps": 2000, "decr_every_n_nan_or_inf": 1, "incr_count": 0, "decr_count": 0,
            "use_dynamic_loss_scaling": True,
        }  # fmt: skip
        self._finite = True

    def scale(self, loss):
        return loss * float(self._state["scale"][0])

    def step(self, optimizer):
        gradients = [p.grad for p in optimizer._parameter_list if p.grad is not None]
        self._finite = all(bool(paddle.isfinite(gradient).all()) for gradient in gradients)
        for gradient in gradients:
            paddle.assign(gradient / float(self._state["scale"][0]), output=gradient)
        if self._finite:
            optimizer.step()

    def update(self):
        self._state["incr_count"] = self._state["incr_count"] + 1 if self._finite else 0
        if not self._finite:
            self._state["scale"] = self._state["scale"] * 0.5

    def state_dict(self):
        return dict(self._state)

    def load_state_dict(self, state):
        assert state.keys() == self._state.keys()
        assert state["scale"].shape == (1,)
        self._state = dict(state)


class Loader:
    """One batch of two images, again and again."""

    epoch = start = 0

    def __len__(self):
        return 3

    def __iter__(self):
        rng = np.random.default_rng(0)
        image = paddle.to_tensor(rng.standard_normal((2, 3, 8, 8)).astype(np.float32))
        heatmaps = paddle.to_tensor(rng.uniform(size=(2, 2, 8, 8)).astype(np.float32))
        for _ in range(self.start, 3):
            yield {"image": image, "heatmaps": heatmaps, "target_weight": paddle.ones([2, 2, 1])}


class Short(nn.Layer):
    """Gives float16 heatmaps, as a network does within autocast on a GPU."""

    def __init__(self):
        super().__init__()
        paddle.seed(1)
        self.conv = nn.Conv2D(3, 2, 3, padding=1)

    def forward(self, image):
        return self.conv(image).astype("float16")


def make_trainer(precision, model=None):
    model = model or Short()
    seen = []

    def loss(heatmaps, target, target_weight):
        seen.append(heatmaps.dtype)
        return KeyPointMSELoss()(heatmaps, target, target_weight)

    optimizer = OptimizerBuilder({"type": "SGD"})(LearningRate(0.1)(3), model.parameters())
    return Trainer(model, Loader(), optimizer, LabelObjective(loss), epochs=1, precision=precision), seen


@pytest.mark.parametrize(("dtype", "expected"), [("bf16", "bfloat16"), ("fp16", "float16")])
def test_the_network_alone_runs_in_the_short_type(monkeypatch, dtype, expected):
    calls, autocast = [], paddle.amp.auto_cast
    monkeypatch.setattr(paddle.amp, "GradScaler", Scaler)
    monkeypatch.setattr(
        paddle.amp, "auto_cast", lambda **asked: calls.append(asked) or autocast(enable=False)
    )
    trainer, seen = make_trainer(Precision(dtype))
    trainer.fit()
    assert calls == [{"enable": True, "dtype": expected, "level": "O1"}] * 3
    assert set(seen) == {paddle.float32}


def test_a_scaled_loss_trains_alike_and_its_scale_is_resumed(monkeypatch, tmp_path):
    monkeypatch.setattr(paddle.amp, "GradScaler", Scaler)
    plain, _ = make_trainer(None)
    plain.fit()
    precision = Precision("fp16")
    scaled, _ = make_trainer(precision)
    scaled.fit()
    weight = scaled.model.conv.weight
    np.testing.assert_allclose(weight.numpy(), plain.model.conv.weight.numpy(), rtol=1e-3, atol=1e-5)
    assert not np.allclose(weight.numpy(), Short().conv.weight.numpy(), atol=1e-4)
    precision._scaler._state["scale"] *= 0.25
    scaled.save(tmp_path / "train_state.npz")
    state = read_state(tmp_path)
    assert state.scaler == {"scale": 2.0**14, "incr_count": 3, "decr_count": 0}
    other = Precision("fp16")
    make_trainer(other)[0].resume(state)
    assert other.state == state.scaler
    make_trainer(Precision())[0].resume(state)  # a run in float32 has no use for it
    plain.save(tmp_path / "train_state.npz")
    make_trainer(other)[0].resume(read_state(tmp_path))
    assert other.state == state.scaler


def test_a_device_without_the_type_is_one_line(monkeypatch):
    check_precision(None, "cpu")
    with pytest.raises(DeviceError, match=r"--amp bf16 needs a GPU: on the CPU Paddle has .* float32 only"):
        check_precision("bf16", "cpu")
    monkeypatch.setattr(paddle.amp, "is_bfloat16_supported", lambda: False)
    monkeypatch.setattr(paddle.amp, "is_float16_supported", lambda: True)
    with pytest.raises(DeviceError, match="this GPU has no bfloat16: leave --amp out or take --amp fp16"):
        check_precision("bf16", "gpu")
    check_precision("fp16", "gpu")
