"""Sets up a run's distillation from the student's and the teacher's configs."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

from ppose.distillation.losses import OUTPUT, Distillation, Teacher
from ppose.distillation.teacher_cache import TeacherCache
from ppose.engine.distributed.ranks import broadcast_state, rank_count
from ppose.engine.load import load_trained
from ppose.engine.objective import DistilledObjective, LabelObjective, Objective
from ppose.engine.state import TrainState
from ppose.engine.static_network import quickest_form
from ppose.engine.task import Task
from ppose.engine.trainer import Hook, Trainer
from ppose.errors import CheckpointError, ConfigError

_logger = logging.getLogger(__name__)

_CACHE_BYTES = 32 << 30  # COCO's 150,000 people at 256x192 are 29


@dataclass(frozen=True)
class TeacherSetup:
    """The config of a teacher, and the folder that caches its outputs, if any."""

    cfg: dict[str, Any]
    cache_folder: Path | None = None


def make_objective(
    task: Task, model: nn.Layer, teacher: TeacherSetup | None, steps_per_epoch: int
) -> tuple[Objective, list[Hook]]:
    """Make the objective of the task's network, with or without a teacher, and the hooks that it needs.

    Nothing of the teacher's config reaches the student's. Raises ConfigError if the two do not fit, and
    CheckpointError if the teacher's weights cannot be loaded.
    """
    if task.settings.distill_loss:
        _logger.warning("distill_loss has an effect in a teacher's config only: --distill_config FILE")
    if teacher is None:
        return LabelObjective(task.loss()), []
    theirs = _teacher_task(teacher.cfg)
    _check_pair(task, theirs)
    _check_normalization(task, theirs)
    cache = None
    if teacher.cache_folder is not None:
        cache = TeacherCache(teacher.cache_folder, limit=_CACHE_BYTES, writers=rank_count())
    network = _load_teacher(theirs)
    losses = theirs.distillation_losses(_channels(model), _channels(network))
    form = _teacher_form(task, network, {loss.key for loss in losses}, steps_per_epoch)
    distillation = Distillation(Teacher(network, cache, form), losses, steps_per_epoch)
    broadcast_state(distillation.learnt)
    return DistilledObjective(task.loss(), distillation), [] if cache is None else [_WatchCache(cache)]


class _WatchCache(Hook):
    """Notifies the teacher's cache of the end of an epoch."""

    def __init__(self, cache: TeacherCache) -> None:
        self._cache = cache

    def after_epoch(self, trainer: Trainer) -> None:
        """Notify the cache."""
        self._cache.end_epoch()


def check_teacher(state: TrainState, teacher: str) -> None:
    """Raise CheckpointError unless a resumed run has the same teacher as before, or still none.

    ``teacher`` is the fingerprint of the new run's teacher, empty for none.
    """
    if state.teacher == teacher:
        return
    if not teacher:
        problem, way_out = "the run had a teacher", "give its --distill_config"
    elif not state.teacher:
        problem, way_out = "the run had no teacher", "leave --distill_config out"
    else:
        problem, way_out = "the run had another teacher", "give its --distill_config and weights"
    raise CheckpointError(
        f"cannot resume: {problem}; {way_out}, or start from the run's weights with --weights"
    )


def _teacher_task(cfg: dict[str, Any]) -> Task:
    try:
        task = Task(cfg)
    except ConfigError as error:
        raise ConfigError(f"the teacher's config: {error}") from error
    if not task.settings.freeze_parameters:
        raise ConfigError("the teacher's config: freeze_parameters is false, but a teacher never trains")
    if not task.settings.distill_loss:
        raise ConfigError(
            "the teacher's config has no distill_loss: add, for instance, "
            "distill_loss: {name: DistMSELoss, weight: 1.0, key: output}"
        )
    if not task.settings.weights:
        raise ConfigError("the teacher's config has no weights: set --distill_opt weights=FILE_OR_URL")
    return task


def _load_teacher(task: Task) -> nn.Layer:
    try:
        return load_trained(task)
    except ConfigError as error:
        raise ConfigError(f"the teacher's config: {error}") from error
    except CheckpointError as error:
        raise CheckpointError(f"the teacher: {error}") from error


def _teacher_form(task: Task, network: nn.Layer, keys: set[str], steps_per_epoch: int) -> nn.Layer:
    """The teacher's network, or a faster form of it if only its heatmaps are needed."""
    if keys != {OUTPUT}:
        return network
    settings = task.settings
    steps = settings.epoch * steps_per_epoch * settings.accumulate
    return quickest_form(network, task.codec.input_size, steps * task.reader("TrainReader").batch_size)


def _channels(network: nn.Layer) -> int | None:
    """The channels of its backbone's first feature map; None without a backbone."""
    return network.backbone.out_channels[0] if hasattr(network, "backbone") else None


def _check_pair(student: Task, teacher: Task) -> None:
    """Check that both have the same keypoints, images and sizes."""
    ours, theirs = student.keypoint_set, teacher.keypoint_set
    if ours.names != theirs.names:
        raise ConfigError(
            f"the student's keypoint set is '{ours.name}' ({ours.num_keypoints} keypoints), the teacher's "
            f"'{theirs.name}' ({theirs.num_keypoints}); expected the same keypoints in the same order"
        )
    sizes = [list(task.settings.trainsize) for task in (student, teacher)]
    if sizes[0] != sizes[1]:
        raise ConfigError(
            f"the student's trainsize is {sizes[0]}, the teacher's {sizes[1]}: both get the same images; "
            "choose a teacher of the student's size"
        )
    peaks = [task.codec.peak for task in (student, teacher)]
    if peaks[0] != peaks[1]:
        raise ConfigError(
            f"the student's targets have the peak {peaks[0]:g}, the teacher's {peaks[1]:g}; choose a teacher "
            "with the same peak"
        )


def _check_normalization(student: Task, teacher: Task) -> None:
    """Check that the student's pixels are normalised as the teacher expects, as far as its config says."""
    readers = [key for key in ("EvalReader", "TestReader", "TrainReader") if teacher.has(key)]
    if not readers:
        return
    both = student.reader("TrainReader").normalization, teacher.reader(readers[0]).normalization
    numbers = [[*one.factor, *one.offset] for one in both if one is not None]
    if len(numbers) < 2 or not np.allclose(numbers[0], numbers[1]):
        raise ConfigError(
            f"NormalizeImage of the student's TrainReader differs from the teacher's {readers[0]}: both "
            "networks get the same images"
        )
    orders = [task.settings.channel_order for task in (student, teacher)]
    if orders[0] != orders[1]:
        raise ConfigError(
            f"the student's channel_order is {orders[0]}, the teacher's {orders[1]}: both networks get the "
            "same images"
        )
