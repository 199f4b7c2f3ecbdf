"""`batch_size: auto`: as many images a training step as the memory has room for, found by trying."""

import ctypes
import gc
import logging
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
import yaml

from ppose.engine.distill import TeacherSetup
from ppose.engine.distributed.ranks import rank_count
from ppose.engine.objective import Batch
from ppose.engine.precision import Precision
from ppose.engine.settings import run_settings
from ppose.engine.train import make_trainer
from ppose.engine.trainer import Trainer
from ppose.errors import ConfigError
from ppose.processor import peak_memory

_logger = logging.getLogger(__name__)

AUTO = "auto"
_SHARE = 0.9  # of a GPU's memory; the rest is the evaluation's, and what lies idle between blocks in use
_OUT_OF_MEMORY = ("out of memory", "ResourceExhausted", "bad_alloc")
_CLEAR = Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"  # of proc(5)

# What a step of so many images takes, in MiB; None where there is not enough.
Measure = Callable[[int], float | None]


def settle_batch_size(
    cfg: dict[str, Any],
    folder: Path,
    *,
    resumes: bool,
    precision: Precision,
    teacher: TeacherSetup | None = None,
) -> dict[str, Any]:
    """The config with a number for the `batch_size: auto` of its TrainReader; any other as it is.

    A run that goes on keeps the number in its folder's `config.yml`. Otherwise steps are tried, with all that
    training has in memory, in ``memory_mb``: on a GPU 9/10 of its own unless said, on the CPU what the config
    says. Raises ConfigError where that is missing or too little, and in a run of several processes.
    """
    reader = cfg.get("TrainReader") or {}
    if reader.get("batch_size") != AUTO:
        return cfg
    if rank_count() > 1:
        raise ConfigError(
            "TrainReader.batch_size is auto, but several processes are to train: let one find it first"
        )
    size = _kept_size(folder / "config.yml") if resumes else None
    if size is None:
        trial = {**_with_size(cfg, 1), "pretrain_weights": None}
        uncached = None if teacher is None else TeacherSetup(teacher.cfg, None)
        budget = _budget(run_settings(cfg).memory_mb)
        trainer = make_trainer(trial, folder, seed=0, evaluates=False, precision=precision, teacher=uncached)
        size = find_batch_size(measure_steps(trainer), budget, most=len(trainer.loader))
        del trainer
        _free()
    return _with_size(cfg, size)


def find_batch_size(measure: Measure, budget: float, most: int) -> int:
    """The largest number of images, up to ``most``, that ``measure`` gives no more than ``budget`` MiB.

    What a step takes grows about in proportion: the next try is where the line through the last two that fit
    reaches the budget, but twice their number at most. Raises ConfigError where one image is too much.
    """
    fits: list[tuple[int, float]] = []
    low, high = 0, most + 1  # the largest that fits, the smallest that does not
    while high - low > 1:
        tried = min(max(_guess(fits, budget), low + 1), high - 1)
        needed = measure(tried)
        if needed is None or needed > budget:
            high = tried
        else:
            low = tried
            fits.append((tried, needed))
    if not fits:
        raise ConfigError(
            f"TrainReader.batch_size is auto, but a step of one image takes more than {budget:,.0f} MiB "
            "(memory_mb)"
        )
    _logger.info(
        "batch_size auto: %d images a step take %.0f of %.0f MiB%s",
        *fits[-1], budget, "; that is the whole dataset" if low == most else "",
    )  # fmt: skip
    return low


def _guess(fits: list[tuple[int, float]], budget: float) -> int:
    if len(fits) < 2:
        return len(fits) + 1
    (before, least), (last, most) = fits[-2:]
    slope = (most - least) / (last - before)
    return 2 * last if slope <= 0 else min(2 * last, last + int((budget - most) / slope))


def measure_steps(trainer: Trainer) -> Measure:
    """What training steps of a trainer take, which is of no use afterwards: its weights have moved."""
    example = trainer.loader.examples(1)
    trainer.network.train()

    def measure(images: int) -> float | None:
        batch: Batch = {
            key: paddle.concat([value] * images) if images > 1 else value for key, value in example.items()
        }
        _free()
        _forget_peak()
        try:
            trainer.train_step([batch])
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not any(words in str(error) for words in _OUT_OF_MEMORY):
                raise
            trainer.optimizer.clear_grad()
            return None
        return _peak()

    return measure


def _kept_size(file: Path) -> int | None:
    try:
        size = yaml.safe_load(file.read_text())["TrainReader"]["batch_size"]
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError):
        return None
    return size if isinstance(size, int) and size > 0 else None


def _with_size(cfg: dict[str, Any], size: int) -> dict[str, Any]:
    return {**cfg, "TrainReader": {**cfg["TrainReader"], "batch_size": size}}


def _on_gpu() -> bool:
    return paddle.device.get_device() != "cpu"


def _budget(asked: int | None) -> float:
    """MiB that a step may take."""
    if asked is not None:
        return asked
    if not _on_gpu():
        raise ConfigError(
            "TrainReader.batch_size is auto: how much memory may the process take on the CPU, in MiB? Say "
            "so, as in -o memory_mb=4000"
        )
    return _SHARE * paddle.device.cuda.get_device_properties().total_memory / 2**20


def _free() -> None:
    """Give back what is not in use, so that it is not counted."""
    gc.collect()
    if _on_gpu():
        paddle.device.cuda.empty_cache()
    elif platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _forget_peak() -> None:
    if _on_gpu():
        paddle.device.cuda.reset_max_memory_reserved()
    elif _CLEAR.exists():
        _CLEAR.write_text(_CLEAR_PEAK)


def _peak() -> float:
    """The most memory since `_forget_peak` in MiB: what Paddle has taken of a GPU, else the process."""
    if _on_gpu():
        return paddle.device.cuda.max_memory_reserved() / 2**20
    return peak_memory()  # without Linux's clear_refs of the whole run, so that what is found may be less
