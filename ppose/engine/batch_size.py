"""`batch_size: auto`: finds the largest training batch that fits in memory, by trying."""

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
_SHARE = 0.9  # of a GPU's memory; the rest is for evaluation and fragmentation
_OUT_OF_MEMORY = ("out of memory", "ResourceExhausted", "bad_alloc")
_CLEAR = Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"  # of proc(5)

# The memory of a step with that many images, in MiB; None if memory runs out.
Measure = Callable[[int], float | None]


def settle_batch_size(
    cfg: dict[str, Any],
    folder: Path,
    *,
    resumes: bool,
    precision: Precision,
    teacher: TeacherSetup | None = None,
) -> dict[str, Any]:
    """Replace `batch_size: auto` in the config's TrainReader by a number; other configs stay unchanged.

    A resumed run keeps the number in its folder's `config.yml`. Otherwise it tries steps, with everything
    that training holds in memory, within ``memory_mb``: on a GPU by default 9/10 of its memory, on the CPU
    the config must set it. Raises ConfigError if that is missing or too small, and with several processes.
    """
    reader = cfg.get("TrainReader") or {}
    if reader.get("batch_size") != AUTO:
        return cfg
    if rank_count() > 1:
        raise ConfigError(
            "TrainReader.batch_size is auto, but several processes train: find it with one process first"
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
    """The largest number of images, up to ``most``, whose ``measure`` is at most ``budget`` MiB.

    Memory grows about linearly with the images: the next try is where the line through the last two fitting
    numbers reaches the budget, but at most twice the last. Raises ConfigError if one image is too much.
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
        "batch_size auto: %d images per step take %.0f of %.0f MiB%s",
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
    """Return a function that measures a trainer's steps; they change the weights, so discard the trainer."""
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
    """The memory limit of a step in MiB."""
    if asked is not None:
        return asked
    if not _on_gpu():
        raise ConfigError(
            "TrainReader.batch_size is auto: on the CPU set the memory that the process may take, in MiB, "
            "as in -o memory_mb=4000"
        )
    return _SHARE * paddle.device.cuda.get_device_properties().total_memory / 2**20


def _free() -> None:
    """Release unused memory, so that it is not counted."""
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
    """Peak memory since `_forget_peak` in MiB: Paddle's on a GPU, else the process's."""
    if _on_gpu():
        return paddle.device.cuda.max_memory_reserved() / 2**20
    return peak_memory()  # without Linux's clear_refs: of the whole run, the result may be too small
