"""A small network, its trainer, and a hook that records what it does."""

import math

import numpy as np
import paddle
from paddle import nn

from ppose.engine.objective import LabelObjective
from ppose.engine.optimizer import LearningRate, OptimizerBuilder
from ppose.engine.trainer import Hook, Trainer
from ppose.models import KeyPointMSELoss


class ListLoader:
    """Batches, by default of 2 images, from a fixed pool, in an order of the epoch's own."""

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
