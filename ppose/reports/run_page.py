"""Makes the page of a training run, alone or beside others."""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from ppose.errors import DataError
from ppose.files import read_json
from ppose.paths import hide_secrets, show_name
from ppose.reports.curves import Records, plot_curves
from ppose.reports.page import Block, Code, Page, Table, Text, show_figure, show_number, show_picture

_PICTURES = 3  # the newest pictures of samples


@dataclass(frozen=True)
class Run:
    """The content of a run's folder: config.yml, run.json, the lines of metrics.jsonl, pictures in vis/."""

    name: str
    config: str
    about: dict[str, Any]
    records: Records
    pictures: Sequence[Path]

    @property
    def steps(self) -> Records:
        """The lines of training."""
        return [record for record in self.records if "loss" in record]

    @property
    def evaluations(self) -> Records:
        """The lines of evaluation."""
        return [record for record in self.records if "loss" not in record]

    @property
    def measure(self) -> str:
        """The name of the number that compares networks."""
        numbers = [
            name for record in self.evaluations[:1] for name in record if name not in ("epoch", "step")
        ]
        return self.about.get("measure", (numbers or ["AP"])[0])

    @property
    def best(self) -> dict[str, Any] | None:
        """The best evaluation; None without any."""
        known = [record for record in self.evaluations if self.measure in record]
        return max(known, key=lambda record: record[self.measure], default=None)

    @property
    def steps_per_epoch(self) -> float:
        """Steps per epoch; an estimate if no epoch was finished."""
        last = self.records[-1]
        return max(last["step"] / max(last["epoch"], 1), 1)


def read_run(folder: str | Path) -> Run:
    """Read a run's folder; DataError if it is none."""
    folder, where = Path(folder), show_name(folder)
    try:
        config = (folder / "config.yml").read_text("utf-8", "replace")
        lines = (folder / "metrics.jsonl").read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise DataError(
            f"{where}: not the folder of a training run: {error.strerror} ({error.filename})"
        ) from None
    about = read_json(folder / "run.json", "run's description")
    records = [record for line in lines if (record := _read_line(line)) is not None]
    if not records:
        raise DataError(f"{where}: metrics.jsonl is empty: the run has logged nothing yet")
    pictures = sorted((folder / "vis").glob("epoch_*.png"))[-_PICTURES:]
    return Run(folder.resolve().name, config, about if isinstance(about, dict) else {}, records, pictures)


def _read_line(line: str) -> dict[str, Any] | None:
    """A line's values; None for half a line of a killed run."""
    try:
        record = json.loads(line)
        numbers = {name: value for name, value in record.items() if isinstance(value, int | float)}
    except (ValueError, AttributeError):
        return None
    return numbers if {"epoch", "step"} <= numbers.keys() else None


def make_run_page(runs: Sequence[Run]) -> Page:
    """The page of the first run, with the others beside it in tables and curves."""
    names = _distinct_names(runs)
    page = Page(f"Training run {names[0]}" + (f" beside {', '.join(names[1:])}" if len(runs) > 1 else ""))
    page.sections["Results"] = [*_results(names, runs)]
    curves = dict(zip(names, (run.records for run in runs), strict=True)) if len(runs) > 1 else None
    figure = plot_curves(runs[0].records, runs[0].steps_per_epoch, runs[0].measure, curves)
    page.sections["Curves"] = [show_figure(figure)]
    page.sections["Time and memory"] = [_time(names, runs)]
    page.sections["Samples"] = _samples(runs[0])
    page.sections["Environment"] = [_environment(names, runs)]
    page.sections["Config"] = [*_differences(names, runs), Code(hide_secrets(runs[0].config))]
    return page


def _distinct_names(runs: Sequence[Run]) -> list[str]:
    names = [run.name for run in runs]
    return [f"{name} ({row + 1})" if names.count(name) > 1 else name for row, name in enumerate(names)]


def _results(names: Sequence[str], runs: Sequence[Run]) -> Iterator[Block]:
    evaluated = [(name, run) for name, run in zip(names, runs, strict=True) if run.best is not None]
    if not evaluated:
        yield Text("Not evaluated; `ppose train --eval` evaluates every snapshot_epoch epochs.")
        return
    yield Text("The best evaluation of each run, by the first number.")
    numbers = list(
        dict.fromkeys(n for _, run in evaluated for n in run.best or {} if n not in ("epoch", "step"))
    )
    rows = [
        [name, f"{best['epoch']:g}", *(show_number(best.get(number)) for number in numbers)]
        for name, run in evaluated
        if (best := run.best) is not None
    ]
    yield Table(["run", "epoch", *numbers], rows)
    if len(runs) == 1:
        history = [
            [f"{record['epoch']:g}", *(show_number(record.get(number)) for number in numbers)]
            for record in runs[0].evaluations
        ]
        yield Table(["epoch", *numbers], history)
    yield Text(
        "To see the errors of the last evaluation: `ppose analyse_errors RUN/result/keypoints_results.json "
        "--dataset RUN/config.yml`."
    )


def _time(names: Sequence[str], runs: Sequence[Run]) -> Table:
    rows = []
    for name, run in zip(names, runs, strict=True):
        steps = [record for record in run.steps if {"step_time", "data_time"} <= record.keys()]
        before = [0, *(record["step"] for record in steps)]
        counts = [record["step"] - last for record, last in zip(steps, before, strict=False)]
        total = sum(record["step_time"] * count for record, count in zip(steps, counts, strict=True))
        waited = sum(record["data_time"] * count for record, count in zip(steps, counts, strict=True))
        rates = [record["images_per_s"] for record in steps if "images_per_s" in record]
        rows.append(
            [
                name,
                f"{run.records[-1]['step']:,}",
                str(timedelta(seconds=round(total))),
                f"{waited / total:.1%}" if total else "-",
                f"{statistics.median(rates):.1f}" if rates else "-",
                *(_most(run, key) for key in ("memory_mb", "gpu_memory_mb")),
            ]
        )
    header = ["run", "steps", "time in steps", "share waiting for data", "images/s (median)"]
    return Table([*header, "peak memory, MB", "peak GPU memory, MB"], rows)


def _most(run: Run, key: str) -> str:
    values = [record[key] for record in run.steps if key in record]
    return f"{max(values):,.0f}" if values else "-"


def _samples(run: Run) -> list[Block]:
    if not run.pictures:
        return [Text("There are no pictures in vis/.")]
    return [show_picture(file.read_bytes(), "png", file.stem.replace("_", " ")) for file in run.pictures]


def _environment(names: Sequence[str], runs: Sequence[Run]) -> Table:
    keys = dict.fromkeys(key for run in runs for key in run.about)
    rows = [[key, *(hide_secrets(_show(run.about.get(key))) for run in runs)] for key in keys]
    return Table(["", *names], rows)


def _differences(names: Sequence[str], runs: Sequence[Run]) -> Iterator[Block]:
    if len(runs) < 2:
        return
    configs = [dict(_flatten(_load(run.config))) for run in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    rows = [
        [key, *(hide_secrets(_show(config.get(key))) for config in configs)]
        for key in keys
        if any(config.get(key) != configs[0].get(key) for config in configs[1:])
    ]
    yield Text(f"{len(rows)} keys differ." if rows else "The configs are the same.")
    if rows:
        yield Table(["key", *names], rows)


def _load(config: str) -> Any:
    try:
        return yaml.safe_load(config)
    except yaml.YAMLError:
        return {}


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by their dotted keys; lists of plain values are leaves."""
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _flatten(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, below in enumerate(value):
            yield from _flatten(below, f"{path}.{index}")
    else:
        yield path, value


def _show(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)
