"""Distillation (Hinton et al., 2015): a trained network, the teacher, guides another one, the student.

Both get the same images. Their maps are compared by key: `output`, the heatmaps (N, K, H, W), and
`backbone`, the first map (N, C, H, W) of a network's `backbone`. Each loss returns an unweighted scalar.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

import paddle
from paddle import nn

from ppose.distillation.teacher_cache import Maps, TeacherCache
from ppose.errors import ConfigError
from ppose.models.losses import KeyPointMSELoss
from ppose.schedules import Schedule, multiply
from ppose.workspace import Given, register

OUTPUT: Literal["output"] = "output"
BACKBONE: Literal["backbone"] = "backbone"


class LossWeight:
    """``weight`` times the factors of all ``schedulers``, as in `LearningRate`."""

    def __init__(self, weight: float, schedulers: Sequence[Schedule]) -> None:
        if not weight >= 0:
            raise ConfigError(f"distill_loss: weight is {weight}, expected 0 or more")
        self._weight, self._schedulers = weight, schedulers

    def __call__(self, step: int, steps_per_epoch: int) -> float:
        """The weight in this step, counted from 0."""
        return self._weight * multiply(self._schedulers, step, steps_per_epoch)


class DistillationLoss(Protocol):
    """A loss between the maps ``key`` of student and teacher, with its ``weight``.

    A loss with parameters is an `nn.Layer`; they are trained with the student's.
    """

    key: str
    weight: LossWeight

    def __call__(
        self, student: paddle.Tensor, teacher: paddle.Tensor, target_weight: paddle.Tensor
    ) -> paddle.Tensor:
        """Maps (N, C, H, W) of both, the labels' target_weight (N, K, 1) -> a scalar, without the weight."""


@register(DistillationLoss)
class DistMSELoss:
    """Mean squared error between the heatmaps of student s and teacher t: fast pose distillation.

    loss = 1/2 * mean (w[n,k] * (s - t)[n,k,y,x])**2, PaddlePaddle's published DistMSELoss: KeyPointMSELoss
    with its default loss_scale on the teacher's heatmaps (Zhang et al., CVPR 2019). Without
    ``use_target_weight`` all w are 1: the student also learns unlabelled keypoints.
    """

    def __init__(
        self,
        weight: float = 1.0,
        key: Literal["output"] = OUTPUT,
        use_target_weight: bool = True,
        schedulers: Sequence[Schedule] = (),
    ) -> None:
        self.key, self.weight = key, LossWeight(weight, schedulers)
        self._loss = KeyPointMSELoss(use_target_weight)

    def __call__(
        self, student: paddle.Tensor, teacher: paddle.Tensor, target_weight: paddle.Tensor
    ) -> paddle.Tensor:
        """Heatmaps (N, K, H, W) of both, target_weight (N, K, 1) -> a scalar."""
        _check_shapes(self, student, teacher)
        return self._loss(student, teacher, target_weight)


@register(DistillationLoss)
class DistFeatureLoss(nn.Layer):
    """Mean squared error between the backbones' first maps, the student's through a learnt 1x1 convolution.

    loss = 1/2 * mean (A s - t)[n,c,y,x]**2, the hints of FitNets (Romero et al., ICLR 2015). A maps the
    student's channels to the teacher's; it is trained with the student but not part of it. Raises ConfigError
    if the channels are None: a network without a `backbone`.
    """

    def __init__(
        self,
        student_channels: Given[int | None],
        teacher_channels: Given[int | None],
        weight: float = 1.0,
        key: Literal["backbone"] = BACKBONE,
        schedulers: Sequence[Schedule] = (),
    ) -> None:
        super().__init__()
        if student_channels is None or teacher_channels is None:
            who = "student" if student_channels is None else "teacher"
            raise ConfigError(
                f"DistFeatureLoss: the {who}'s network has no backbone; use DistMSELoss (on heatmaps)"
            )
        self.key, self.weight = key, LossWeight(weight, schedulers)
        self.adapter = nn.Conv2D(student_channels, teacher_channels, 1)

    def forward(
        self, student: paddle.Tensor, teacher: paddle.Tensor, target_weight: paddle.Tensor
    ) -> paddle.Tensor:
        """Maps (N, C, H, W) and (N, D, H, W) -> a scalar; ignores the target_weight."""
        adapted = self.adapter(student).astype("float32")
        _check_shapes(self, adapted, teacher)
        return 0.5 * (adapted - teacher).square().mean()


class Teacher:
    """A trained, frozen network: in eval mode, without gradients.

    ``fingerprint`` identifies its weights and layers. With a ``cache`` it takes maps from there if present.
    ``form`` is another form of the network that computes the same heatmaps, and runs instead of it.
    """

    def __init__(
        self, network: nn.Layer, cache: TeacherCache | None = None, form: nn.Layer | None = None
    ) -> None:
        for parameter in network.parameters():
            parameter.stop_gradient = True
        self._network = network if form is None else form
        self._network.eval()
        self.cache = cache
        self.fingerprint = _fingerprint(network)

    @paddle.no_grad()
    def __call__(self, image: paddle.Tensor, keys: Iterable[str]) -> Maps:
        """Image (N, 3, h, w) -> the maps of these keys, float32."""

        def ask(images: paddle.Tensor) -> Maps:
            maps = forward_maps(self._network, images, keys)
            return {key: maps[key].astype("float32") for key in keys}

        return ask(image) if self.cache is None else self.cache.look_up(image, self._kind(keys), ask)

    def _kind(self, keys: Iterable[str]) -> tuple[str, ...]:
        """What the maps depend on, apart from the image."""
        dtype = str(paddle.amp.get_autocast_dtype()) if paddle.amp.is_autocast_enabled() else "float32"
        return self.fingerprint, dtype, *keys


class Distillation:
    """A teacher, and the weighted losses between it and the student."""

    def __init__(self, teacher: Teacher, losses: Sequence[DistillationLoss], steps_per_epoch: int) -> None:
        self.teacher, self._losses, self._steps_per_epoch = teacher, losses, steps_per_epoch
        self.keys = tuple(dict.fromkeys(loss.key for loss in losses))
        self.learnt = nn.LayerList([loss for loss in losses if isinstance(loss, nn.Layer)])

    def __call__(
        self, student: Maps, image: paddle.Tensor, target_weight: paddle.Tensor, step: int
    ) -> paddle.Tensor:
        """The student's maps, its input, target_weight (N, K, 1) -> the weighted sum of the losses."""
        wanted = self.teacher(image, self.keys)
        total = paddle.zeros([])
        for loss in self._losses:
            value = loss(student[loss.key].astype("float32"), wanted[loss.key], target_weight)
            total = total + loss.weight(step, self._steps_per_epoch) * value
        return total


def forward_maps(network: nn.Layer, image: paddle.Tensor, keys: Iterable[str]) -> Maps:
    """A network's heatmaps as `output` and, if among the keys, its `backbone`'s first map."""
    maps: Maps = {}
    if BACKBONE not in keys:
        return {OUTPUT: network(image)}
    hook = network.backbone.register_forward_post_hook(
        lambda layer, inputs, outputs: maps.update({BACKBONE: outputs[0]})
    )
    try:
        maps[OUTPUT] = network(image)
    finally:
        hook.remove()
    return maps


def _check_shapes(loss: Any, student: paddle.Tensor, teacher: paddle.Tensor) -> None:
    if student.shape != teacher.shape:
        raise ConfigError(
            f"{type(loss).__name__}: the student's maps have the shape {student.shape}, the teacher's "
            f"{teacher.shape}; choose a teacher with maps of the same size"
        )


def _fingerprint(network: nn.Layer) -> str:
    digest = hashlib.sha256(str(network).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
