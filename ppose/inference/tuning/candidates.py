"""Lists the settings to try with a model: its exports, their runtimes, and precisions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from ppose.errors import PposeError
from ppose.inference.model_folder import ModelFolder, list_beside
from ppose.inference.runtimes import Precision, RuntimeName, name_precision
from ppose.inference.runtimes.kinds import IN_FLOATS, KINDS, check_able, require_installed
from ppose.inference.tuning.settings import Settings, default_batch

_BATCHES = (1, 4, 16)


def list_exports(folder: ModelFolder) -> list[ModelFolder]:
    """The model, and those beside it that differ only in being int8 or float."""
    beside = list_beside(folder)
    return [folder, *(other for other in beside if other.is_int8 != folder.is_int8)]


def list_pairs(exports: Sequence[ModelFolder], threads: int) -> tuple[list[Settings], list[str]]:
    """Return each export in each runtime and precision, for one person on all threads, in `auto`'s order.

    Also returns one line for each missing combination, with the reason.
    """
    found, problems = [], []
    for folder in exports:
        for runtime, kind in KINDS.items():
            for precision in kind.precisions["cpu"]:
                try:
                    require_installed(runtime)
                    check_able(runtime, folder, device="cpu", precision=precision, threads=threads, streams=1)
                except PposeError as error:
                    problems.append(f"{runtime}, {precision}: {error}")
                    continue
                computes = name_precision(folder, precision)
                if folder.saturates and runtime != IN_FLOATS:
                    problems.append(
                        f"{folder.path.name} in {runtime}: its int8 weights have the full range, and "
                        "saturate on this processor"
                    )
                    continue
                spec = folder.spec
                settings = Settings(
                    folder.path, cast(RuntimeName, runtime), cast(Precision, precision), computes, threads,
                    batch=spec.batch or 1, is_fixed=spec.batch is not None, input_size=spec.input_size,
                )  # fmt: skip
                found.append(settings)
    # First the settings that `auto` uses without a measurement; then by export, and by runtime.
    found.sort(key=lambda s: (s.path != exports[0].path, s.precision != "fp32"))
    return found, list(dict.fromkeys(problems))


def default_of(pair: Settings, *, many: bool) -> Settings:
    """The settings with which `auto` runs a pair without a measurement, for one person or for ``many``."""
    if not many:
        return pair
    streams = pair.threads if KINDS[pair.runtime].has_streams else 1
    return replace(pair, streams=streams, batch=_batch(pair, default_batch(streams, pair.input_size)))


def vary_threads(pair: Settings) -> list[Settings]:
    """A pair on all threads, half of them, and so on down to one."""
    return [replace(pair, threads=threads) for threads in _halves(pair.threads)]


def vary_streams(pair: Settings, *, ends: bool = False) -> list[Settings]:
    """A pair for many people: a stream per thread, half of that, and so on to one; or only the ``ends``."""
    if not KINDS[pair.runtime].has_streams:
        counts = [1]
    elif ends:
        counts = sorted({1, pair.threads})
    else:
        counts = _halves(pair.threads)
    batch = _batch(pair, default_batch(pair.threads, pair.input_size))
    return [replace(pair, streams=streams, batch=batch) for streams in counts]


def vary_batches(settings: Settings) -> list[Settings]:
    """The same with other batch sizes; a graph with a fixed batch keeps its own."""
    return [settings] if settings.is_fixed else [replace(settings, batch=batch) for batch in _BATCHES]


def _batch(pair: Settings, batch: int) -> int:
    return pair.batch if pair.is_fixed else batch


def _halves(number: int) -> list[int]:
    found = [number]
    while found[-1] > 1:
        found.append(found[-1] // 2)
    return found
