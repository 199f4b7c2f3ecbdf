"""The training objective: the loss of a batch, in total and in parts."""

from typing import NamedTuple, Protocol

import paddle
from paddle import nn

from ppose.distillation.losses import OUTPUT, Distillation, forward_maps
from ppose.models import Loss

Batch = dict[str, paddle.Tensor]


class Outcome(NamedTuple):
    """Of a batch: the scalar to minimise, the network's heatmaps (N, K, H, W), the loss's parts by name."""

    loss: paddle.Tensor
    heatmaps: paddle.Tensor
    parts: dict[str, paddle.Tensor]


class Objective(Protocol):
    """What a network is trained for.

    ``learnt`` holds layers that are trained with the network but do not belong to it. ``teacher`` is the
    teacher's fingerprint, empty without one; a resumed run must have the same. ``uses_features``: it takes
    feature maps from the network, not only heatmaps.
    """

    learnt: nn.Layer
    teacher: str
    uses_features: bool

    def __call__(self, model: nn.Layer, batch: Batch, step: int) -> Outcome:
        """Run the network on a batch in this step, counted from 0; called under autocast.

        Losses stay float32: Paddle's autocast shortens only convolutions and matrix products.
        """


class LabelObjective:
    """The loss between a network's heatmaps and those of the labels, without a teacher."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss
        self.learnt, self.teacher, self.uses_features = nn.Layer(), "", False

    def __call__(self, model: nn.Layer, batch: Batch, step: int) -> Outcome:
        """See the protocol."""
        heatmaps = model(batch["image"])
        loss = self._loss(heatmaps.astype("float32"), batch["heatmaps"], batch["target_weight"])
        return Outcome(loss, heatmaps, {})


class DistilledObjective:
    """The labels' loss plus the distance to a teacher: loss = student_loss + distillation_loss."""

    def __init__(self, loss: Loss, distillation: Distillation) -> None:
        self._loss, self._distillation = loss, distillation
        self.learnt: nn.Layer = distillation.learnt
        self.teacher = distillation.teacher.fingerprint
        self.uses_features = set(distillation.keys) != {OUTPUT}

    def __call__(self, model: nn.Layer, batch: Batch, step: int) -> Outcome:
        """See the protocol."""
        maps = forward_maps(model, batch["image"], self._distillation.keys)
        student = self._loss(maps[OUTPUT].astype("float32"), batch["heatmaps"], batch["target_weight"])
        distilled = self._distillation(maps, batch["image"], batch["target_weight"], step)
        parts = {"student_loss": student, "distillation_loss": distilled}
        return Outcome(student + distilled, maps[OUTPUT], parts)
