"""Builds a training run from a config."""

import logging
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import paddle
from paddle import nn

from ppose.data import Batches
from ppose.engine.distill import TeacherSetup, check_teacher, make_objective
from ppose.engine.distributed.ranks import broadcast, broadcast_state, is_main, rank_count, this_rank
from ppose.engine.distributed.sync_norm import synchronise_norms
from ppose.engine.ema import MovingAverage
from ppose.engine.evaluate import evaluate, write_result
from ppose.engine.folded_norms import find_folded_norms, unfold_norms
from ppose.engine.hooks.curves import DrawCurves
from ppose.engine.hooks.quantization import HoldRanges, KeepAlphasPositive
from ppose.engine.hooks.run import Evaluate, EvaluateNetwork, LogProgress, RunLog, SaveCheckpoints
from ppose.engine.hooks.samples import DrawSamples
from ppose.engine.hooks.show_run import ShowRun
from ppose.engine.load import find_quantization, load_quantized
from ppose.engine.network_runtime import network_predictor
from ppose.engine.objective import Objective
from ppose.engine.precision import Precision
from ppose.engine.settings import RunSettings
from ppose.engine.state import TrainState
from ppose.engine.static_network import quickest_form
from ppose.engine.task import Task
from ppose.engine.trainer import Hook, Trainer
from ppose.errors import ConfigError
from ppose.quantization.calibrate import begin_alphas, find_clipping
from ppose.quantization.equalize import equalize
from ppose.quantization.qat import is_quantization_aware, set_weight_range
from ppose.weights.checkpoint import load_weights, open_weights

_logger = logging.getLogger(__name__)

_IMAGES_FOR_STATISTICS = 256


def make_trainer(
    cfg: dict[str, Any],
    folder: Path,
    *,
    seed: int,
    evaluates: bool,
    state: TrainState | None = None,
    precision: Precision | None = None,
    scales_rate: bool = False,
    teacher: TeacherSetup | None = None,
) -> Trainer:
    """The trainer of a config, which writes to ``folder`` and resumes from ``state`` if given.

    Without a state the network starts from `pretrain_weights`, or at random by ``seed``. ``scales_rate``
    scales the learning rate with the images per step. With a ``teacher`` the network is distilled. Raises
    ConfigError, DataError and CheckpointError.
    """
    task = Task(cfg)
    settings = task.settings
    _check_counts(settings)
    dataset = task.dataset("TrainDataset")
    loader = _make_loader(task, dataset, seed)
    scale = _rate_scale(task) if scales_rate else 1.0
    model = _make_model(task, dataset, seed, resumes=state is not None)
    steps_per_epoch = -(-len(loader) // settings.accumulate)
    objective, hooks = make_objective(task, model, teacher, steps_per_epoch)
    trained = (*model.parameters(), *objective.learnt.parameters())
    parameters = [parameter for parameter in trained if not parameter.stop_gradient]
    optimizer = task.optimizer(parameters, steps_per_epoch, scale)
    trainer = Trainer(
        model,
        loader,
        optimizer,
        objective,
        [*_make_hooks(cfg, task, folder, evaluates), *hooks],
        epochs=settings.epoch,
        accumulate=settings.accumulate,
        average=MovingAverage(model, settings.ema_decay) if settings.use_ema else None,
        precision=precision,
        network=_form_to_train(task, model, objective, batches=settings.epoch * len(loader)),
        seed=seed,
        diagnostics=folder / "log",
    )
    if state is not None:
        check_teacher(state, objective.teacher)
        trainer.resume(state)
    return trainer


def _make_hooks(cfg: dict[str, Any], task: Task, folder: Path, evaluates: bool) -> list[Hook]:
    settings = task.settings
    every = settings.snapshot_epoch
    log = RunLog(folder, echo=not sys.stderr.isatty())
    hooks: list[Hook] = []
    if task.quantization is not None:
        hooks += [HoldRanges(task.quantization.freeze_epoch), KeepAlphasPositive()]
    if is_main():
        hooks.append(LogProgress(log, settings.log_iter))
        hooks.append(SaveCheckpoints(folder, every=every, keep=settings.keep_snapshots))
    if evaluates:
        evaluation = make_evaluation(task, folder / "result")
        headline, patience = settings.headline, settings.patience
        hooks.append(Evaluate(evaluation, folder, log, headline=headline, every=every, patience=patience))
    if not is_main():
        return hooks
    hooks += [DrawSamples(folder / "vis", task, every=every), DrawCurves(folder, settings.headline[0])]
    if loggers := task.loggers(folder.name):
        hooks.append(ShowRun(folder, loggers, cfg))
    return hooks


def make_evaluation(task: Task, folder: Path) -> EvaluateNetwork:
    """A function that computes the metrics of a network on the config's EvalDataset, on every rank.

    It evaluates the main rank's network, with its batch norm statistics, which differ between ranks without
    `sync_bn`. The last results stay in ``folder``.
    """
    dataset = task.dataset("EvalDataset")
    metric = task.metric(dataset)

    def evaluate_network(model: nn.Layer, check: Callable[[], None]) -> dict[str, float]:
        metric.reset()
        broadcast_state(model)
        evaluate(task, network_predictor(task, model, "EvalReader"), dataset, metric, check)
        metrics = None
        if is_main():
            metrics = metric.compute()
            write_result(folder, metric, metrics)
        return broadcast(metrics)

    return evaluate_network


def _make_loader(task: Task, dataset: Any, seed: int) -> Batches:
    reader, ranks = task.reader("TrainReader"), rank_count()
    loader = reader.batches(
        dataset, workers=task.settings.worker_num, seed=seed, rank=this_rank(), ranks=ranks
    )
    if len(loader) == 0:
        among = f" on each of {ranks} processes" if ranks > 1 else ""
        raise ConfigError(
            f"TrainReader yields no batch: the dataset has {len(dataset)} samples, batch_size is "
            f"{reader.batch_size}{among} and drop_last is true; set TrainReader.batch_size to "
            f"{len(dataset) // ranks} or less"
        )
    return loader


def _make_model(task: Task, dataset: Any, seed: int, *, resumes: bool) -> nn.Layer:
    paddle.seed(seed)
    model = task.model()
    if not resumes and task.settings.pretrain_weights:
        _load_pretrained(task, model, dataset, seed)
    if task.quantization is not None and not is_quantization_aware(model):
        task.quantization.wrap(model)
    if task.settings.sync_bn:
        synchronise_norms(model, "cpu" if paddle.device.get_device() == "cpu" else "gpu")
    broadcast_state(model)
    return model


def _form_to_train(task: Task, model: nn.Layer, objective: Objective, batches: int) -> nn.Layer:
    # A graph cannot communicate with other ranks (for synchronised norms), nor expose feature maps.
    if task.settings.sync_bn or objective.uses_features:
        return model
    images = batches * task.reader("TrainReader").batch_size
    return quickest_form(model, task.codec.input_size, images)


def _load_pretrained(task: Task, model: nn.Layer, dataset: Any, seed: int) -> None:
    """Load `pretrain_weights`, in float, or with fake quantizers, which the network then gets too."""
    file = open_weights(task.settings.pretrain_weights or "")
    quantization = find_quantization(task, file)
    if quantization is not None:
        load_quantized(quantization, model, file, strict=False)
        set_weight_range(model, quantization.weights)
    else:
        load_weights(model, file, strict=False)
        _unfold_norms(task, model, dataset, seed)
        if task.quantization is not None:
            count, clipping = task.quantization.calibration_images, {}
            if count:
                equalize(model, _training_images(task, dataset, seed, count))
                clipping = find_clipping(model, _training_images(task, dataset, seed, count))
            task.quantization.wrap(model)
            begin_alphas(model, clipping)


def _training_images(task: Task, dataset: Any, seed: int, count: int) -> Iterator[paddle.Tensor]:
    """Batches of at least ``count`` images, if the dataset has them, as in the first epoch."""
    reader = task.reader("TrainReader")
    batches = reader.batches(dataset, workers=0, seed=seed)
    return (batch["image"] for batch in islice(batches, -(-count // reader.batch_size)))


def _unfold_norms(task: Task, model: nn.Layer, dataset: Any, seed: int) -> None:
    """Make weights with folded batch norms, as in exported models, trainable."""
    norms = find_folded_norms(model)
    if not norms:
        return
    _logger.warning(
        "the batch norms of %s are folded into its convolutions: measuring their statistics on training "
        "images (LiteHRNet.freeze_norm and HRNet.freeze_norm keep them folded)",
        task.settings.pretrain_weights,
    )
    unfold_norms(model, norms, _training_images(task, dataset, seed, _IMAGES_FOR_STATISTICS))


def _rate_scale(task: Task) -> float:
    """Linear scaling (Goyal et al., 2017): k times the images in a step, k times the learning rate."""
    settings, batch_size = task.settings, task.reader("TrainReader").batch_size
    if settings.base_batch_size is None:
        raise ConfigError(
            "--auto_scale_lr needs the number of images per step that the LearningRate is meant for: set "
            "base_batch_size, as in -o base_batch_size=512"
        )
    images = rank_count() * batch_size * settings.accumulate
    scale = images / settings.base_batch_size
    _logger.info(
        "learning rate times %.4g: a step has %d images (%d processes, batch_size %d, accumulate %d), "
        "base_batch_size is %d",
        scale, images, rank_count(), batch_size, settings.accumulate, settings.base_batch_size,
    )  # fmt: skip
    return scale


def _check_counts(settings: RunSettings) -> None:
    for name in ("epoch", "snapshot_epoch", "log_iter", "accumulate", "keep_snapshots"):
        if getattr(settings, name) < 1:
            raise ConfigError(f"{name} is {getattr(settings, name)}, expected 1 or more")
    if settings.base_batch_size is not None and settings.base_batch_size < 1:
        raise ConfigError(f"base_batch_size is {settings.base_batch_size}, expected 1 or more")
    if not 0 <= settings.ema_decay < 1:
        raise ConfigError(f"ema_decay is {settings.ema_decay}, expected a number from 0 to below 1")
