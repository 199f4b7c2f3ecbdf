"""Run by the launcher, or alone, with a folder as argument: small trainings whose results go to `<rank>.npz`.

What is computed is the same for any number of ranks.
"""

import sys
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ppose.distillation.losses import DistFeatureLoss, Distillation, DistMSELoss, Teacher
from ppose.engine.device import select_device
from ppose.engine.distributed.ranks import (
    all_gather,
    barrier,
    broadcast,
    broadcast_state,
    join_ranks,
    rank_count,
    this_rank,
)
from ppose.engine.distributed.sync_norm import synchronise_norms
from ppose.engine.divergence import DivergenceError
from ppose.engine.hooks.quantization import HoldRanges, KeepAlphasPositive
from ppose.engine.objective import DistilledObjective, LabelObjective
from ppose.engine.optimizer import LearningRate, OptimizerBuilder
from ppose.engine.trainer import Hook, Trainer
from ppose.models import KeyPointMSELoss
from ppose.quantization.qat import QuantConfig, QuantizationAwareTraining, clipping_alphas, input_observers

COUNTS = (7, 4)  # images of each batch, over all ranks: of two, each then has another number


class Loader:
    """Batches of `COUNTS` images; of two ranks the first takes two thirds of each, the other the rest."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.images = rng.standard_normal((sum(COUNTS), 3, 8, 8)).astype(np.float32)
        self.heatmaps = rng.uniform(size=(sum(COUNTS), 2, 8, 8)).astype(np.float32)
        self.epoch = self.start = 0

    def __len__(self):
        return len(COUNTS)

    def __iter__(self):
        for end, count in zip(np.cumsum(COUNTS), COUNTS, strict=True):
            index = np.arange(end - count, end)
            if rank_count() > 1:
                index = np.split(index, [2 * count // 3])[this_rank()]
            yield {
                "image": paddle.to_tensor(self.images[index]),
                "heatmaps": paddle.to_tensor(self.heatmaps[index]),
                "target_weight": paddle.ones([len(index), 2, 1]),
                "index": paddle.to_tensor(index),
            }


def make_model():
    paddle.seed(1 + this_rank())  # the ranks begin with different weights
    model = nn.Sequential(
        nn.Conv2D(3, 4, 3, padding=1), nn.BatchNorm2D(4), nn.ReLU(), nn.Conv2D(4, 2, 1), nn.BatchNorm2D(2)
    )
    broadcast_state(model)
    return model


class WithBackbone(nn.Layer):
    """A network whose features can be distilled; a batch norm would see other batches on two ranks."""

    def __init__(self, channels):
        super().__init__()
        self.backbone = nn.Conv2D(3, channels, 3, padding=1)
        self.head = nn.Conv2D(channels, 2, 1)
        self.backbone.register_forward_post_hook(lambda layer, inputs, output: [output])

    def forward(self, image):
        return self.head(self.backbone(image)[0])


def make_distillation():
    paddle.seed(5)  # as all ranks load the same weights
    teacher = WithBackbone(5)
    paddle.seed(6 + this_rank())
    losses = [DistMSELoss(), DistFeatureLoss(4, 5, weight=0.5)]
    distillation = Distillation(Teacher(teacher), losses, steps_per_epoch=2)
    broadcast_state(distillation.learnt)
    return distillation


def train(model, loader=None, objective=None, hooks=(), **options):
    losses = []

    class Losses(Hook):
        def after_step(self, trainer):
            losses.append((trainer.report.loss, trainer.report.images, *trainer.report.parts.values()))

    objective = objective or LabelObjective(KeyPointMSELoss())
    parameters = [*model.parameters(), *objective.learnt.parameters()]
    optimizer = OptimizerBuilder({"type": "SGD"})(LearningRate(1.0)(2), parameters)
    loader = loader or Loader()
    Trainer(model, loader, optimizer, objective, [Losses(), *hooks], epochs=2, **options).fit()
    return losses


def record(results, name, model, losses):
    results.update({f"{name}/{key}": value.numpy() for key, value in model.state_dict().items()})
    results[f"{name}/losses"] = np.array(losses)


def train_all(results):
    for name, accumulate in (("held", 1), ("accumulated", 2), ("synchronised", 1)):
        model = make_model()
        if name == "synchronised":
            synchronise_norms(model, "cpu")
        else:
            for norm in (model[1], model[4]):
                norm._use_global_stats = True
        record(results, name, model, train(model, accumulate=accumulate))


def train_quantized(results):
    """Each rank sees ranges of its own, until they are held."""
    model = make_model()
    QuantizationAwareTraining(QuantConfig(activation_preprocess_type="PACT")).wrap(model)
    alphas = clipping_alphas(model)
    for alpha in alphas.values():
        alpha.set_value(paddle.full([1], 0.5))
    ranges = []

    class Ranges(Hook):
        def after_epoch(self, trainer):
            ranges.append([observer._scale.item() for observer in input_observers(model)])

    train(model, hooks=[HoldRanges(1), KeepAlphasPositive(), Ranges()])
    learnt = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    results["learnt"] = np.concatenate([parameter.numpy().ravel() for parameter in learnt])
    results["alphas"] = np.array([alpha.item() for alpha in alphas.values()])
    results["ranges"] = np.array(ranges)


def distil(results):
    paddle.seed(1 + this_rank())
    model = WithBackbone(4)
    broadcast_state(model)
    objective = DistilledObjective(KeyPointMSELoss(), make_distillation())
    results["adapter"] = objective.learnt[0].adapter.weight.numpy()
    record(results, "distilled", model, train(model, objective=objective, accumulate=2))
    record(results, "adapters", objective.learnt, [])


def diverge(folder):
    """The last image is not a number: one rank sees it, all must stop."""
    loader = Loader()
    loader.heatmaps[-1] = np.nan
    model = make_model()
    before = [parameter.numpy() for parameter in model.parameters()]
    try:
        train(model, loader, accumulate=2, diagnostics=folder)
    except DivergenceError as error:
        after = [parameter.numpy() for parameter in model.parameters()]
        trained = [n for n, p in enumerate(model.parameters()) if not p.stop_gradient]
        return str(error), all((before[n] == after[n]).all() for n in trained)
    return "no error", False


def main():
    folder = Path(sys.argv[1])
    join_ranks(select_device(False))
    results = {"initial": make_model()[0].weight.numpy()}
    train_all(results)
    train_quantized(results)
    distil(results)
    results["gathered"] = all_gather(this_rank() + 0.5)
    results["shared"] = broadcast(
        {"AP": 0.1, "nan": float("nan"), "name": "é"} if this_rank() == 0 else None
    )["name"]
    results["error"], results["unchanged"] = diverge(folder)
    barrier()
    np.savez(folder / f"{this_rank()}.npz", **results)


if __name__ == "__main__":
    main()
