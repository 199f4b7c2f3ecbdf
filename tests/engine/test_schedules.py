"""Learning rates over the steps of a training, against Paddle's own schedules, and regularizers."""

import numpy as np
import paddle
import pytest
from engine.small_trainer import ListLoader, Recorder, make_model

from ppose.engine.objective import LabelObjective
from ppose.engine.optimizer import LearningRate, OptimizerBuilder, Regularizer
from ppose.engine.trainer import Trainer
from ppose.errors import ConfigError
from ppose.models import KeyPointMSELoss
from ppose.schedules import CosineDecay, LinearWarmup, PiecewiseDecay, PolynomialDecay
from ppose.workspace import create, load_config


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
