"""Reports a tuning: a table of all measurements, and a line for each choice."""

import statistics
from collections.abc import Iterator
from typing import Any

from ppose.inference.tuning.settings import Settings
from ppose.inference.tuning.tune import Tuning, key_of

_TITLES = ("for", "export", "runtime", "computes", "threads", "streams", "batch", "ms/person", "quartiles")


def list_rows(tuning: Tuning) -> list[tuple[str, ...]]:
    """The table, its header first: settings sorted by time, medians over rounds."""
    last = ("of default", "rounds", "AP lost" if tuning.in_ap else "1 - OKS", "")
    rows: list[tuple[str, ...]] = [(*_TITLES, *last)]
    for record in list_records(tuning):
        first = [record[name] for name in ("for", "export", "runtime", "computes")]
        numbers = [record[name] for name in ("threads", "streams", "batch")]
        low, high = record["quartiles"]
        loss = record["loss"]
        rows.append(
            (
                *first,
                *map(str, numbers),
                f"{record['ms']:.2f}",
                f"{low:.2f}-{high:.2f}",
                f"{record['ratio']:.2f}",
                str(record["rounds"]),
                "" if loss is None else f"{loss:.4f}",
                " ".join(name for name in ("default", "chosen") if record[f"is_{name}"]),
            )
        )
    return rows


def list_records(tuning: Tuning) -> Iterator[dict[str, Any]]:
    """The same for programs: milliseconds a person, the ratio to the default, and the loss."""
    for hint, contest in tuning.contests.items():
        measured = [settings for settings, seconds in contest.seconds.items() if seconds]
        for settings in sorted(measured, key=contest.ratio):
            times = [1000 * seconds for seconds in contest.seconds[settings].values()]
            yield {
                "for": hint,
                **_to_record(settings),
                "ms": statistics.median(times),
                "quartiles": _find_quartiles(times),
                "ratio": contest.ratio(settings),
                "rounds": len(times),
                "loss": tuning.losses.get(key_of(settings)),
                "is_default": settings == contest.base,
                "is_chosen": settings == tuning.chosen[hint],
            }


def list_choices(tuning: Tuning) -> list[str]:
    """One line for each hint."""
    return [f"{hint}: {settings.describe()}: {tuning.why[hint]}" for hint, settings in tuning.chosen.items()]


def _to_record(settings: Settings) -> dict[str, Any]:
    names = ("runtime", "precision", "computes", "threads", "streams", "batch")
    return {"export": settings.path.name, **{name: getattr(settings, name) for name in names}}


def _find_quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high
