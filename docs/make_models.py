"""Writes docs/models.md: every config with the size of its network and what was published of it.

    python docs/make_models.py

The published results are those of docs/published.tsv and of ppose/weights/models.yml, the milliseconds
those of docs/cpu_ms.tsv, which benchmarks/models.py measures. Counting all networks takes some minutes.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

PAGE = FOLDER / "models.md"
_MILLISECONDS = FOLDER / "cpu_ms.tsv"
_HEADER = """# Models

This page lists every config that ships with ppose; `python docs/make_models.py` generates it. MACs are the
multiply-accumulates of convolutions for one image. GFLOPs are counted as in the official tables of HRNet and
SimpleBaseline (transposed convolutions at output resolution, over 1024^3). Both refer to the network as it is
trained; `ppose model_info -c CONFIG` prints parameters, MACs and GFLOPs.

*ms* is the median time for one person from an image in memory to keypoints, in float and without the flip
test. Where a network was measured twice, it is the smaller value:
{run}.
`benchmarks/models.py` measured one config per size of network, with random weights, and skipped networks of
more than 10.5 G MACs. For int8 and other runtimes, see [benchmarks](benchmarks.md).

Published results come from the codes named, not from training here. *det* is AP on COCO val2017 with
detections of a person AP of 56.4 and the flip test; *own* is AP with ground-truth boxes, about 2 AP higher.
Only the published weights of PP-TinyPose have been checked here, on 126 images of COCO
([benchmarks](benchmarks.md#ap-with-published-weights)).

| config | input (w x h) | keypoints | parameters | MACs | GFLOPs | ms | published |
|---|---|---|---|---|---|---|---|
"""

_NAMES_HEADER = """
## By name

`ppose predict`, `ppose serve`, `ppose eval` and `ppose.Predictor` take these published models by name
([how](model_names.md)); `ppose models` lists them too. *person* is AP of detected boxes of people.

| name | for | config | input (w x h) | as published | publisher, page |
|---|---|---|---|---|---|
"""


def registry() -> dict[str, Any]:
    """The published models by name."""
    from ppose.weights.registry import list_models

    return list_models()


def list_configs() -> list[str]:
    return sorted(path.stem for path in (FOLDER.parent / "configs").glob("*.yml"))


def read_published() -> dict[str, list[str]]:
    """Results with their source, by config."""
    published: dict[str, list[str]] = {}
    for line in (FOLDER / "published.tsv").read_text().splitlines():
        if not line.startswith("#"):
            config, result, source = line.split("\t")
            published.setdefault(config, []).append(f"{result} ({source})")
    for model in registry().values():
        result = f"{model.result} ({model.publisher})"
        if model.config is not None and result not in published.setdefault(model.config, []):
            published[model.config].append(result)
    return published


def measure(config: str) -> tuple[str, ...]:
    """The cells of a config that follow from its network: input, keypoints, parameters, MACs, GFLOPs."""
    from ppose.engine.task import Task
    from ppose.models.counting import measure_size
    from ppose.workspace import load_config

    task = Task(load_config(config))
    size = measure_size(task.model(), task.codec.input_size)
    width, height = task.codec.input_size
    return (
        f"{width}x{height}",
        task.keypoint_set.name,
        f"{size.parameters / 1e6:.2f} M",
        f"{size.macs / 1e9:.3f} G",
        f"{size.table_gflops:.2f}",
    )


def make_page(sizes: dict[str, tuple[str, ...]]) -> str:
    """The page, of the cells that `measure` gives for each config."""
    published = read_published()
    run, times = read_milliseconds()
    by_network = {network_of(sizes[config]): ms for config, ms in times.items() if config in sizes}
    rows = [
        f"| `{config}` | {' | '.join(cells)} | {by_network.get(network_of(cells), '-')} | "
        f"{'; '.join(published.get(config, ['-']))} |"
        for config, cells in sizes.items()
    ]
    named = [_make_row(model) for model in registry().values()]
    return _HEADER.replace("{run}", run) + "\n".join(rows) + "\n" + _NAMES_HEADER + "\n".join(named) + "\n"


def _make_row(model: Any) -> str:
    cells = (model.kind, f"`{model.config}`" if model.config else "-", model.input or "-", model.result)
    return f"| `{model.name}` | {' | '.join(cells)} | {model.publisher}, {model.page} |"


def read_sizes(page: str) -> dict[str, tuple[str, ...]]:
    """The cells of a page that stand for networks, by config."""
    configs = page.partition(_NAMES_HEADER)[0]
    rows = [line.strip("| ").split(" | ") for line in configs.splitlines() if line.startswith("| `")]
    return {config.strip("`"): tuple(cells) for config, *cells, _, _ in rows}


def network_of(cells: tuple[str, ...]) -> tuple[str, ...]:
    """What configs with one network have in common, but for its last layer: input, parameters and MACs."""
    size, _, parameters, macs, _ = cells
    return size, parameters, f"{float(macs.split()[0]):.2f}"


def read_milliseconds() -> tuple[str, dict[str, str]]:
    """Where and when the times were measured, and those of one config of each size of network."""
    run, *rows = _MILLISECONDS.read_text(encoding="utf-8").splitlines()
    return run.removeprefix("# "), dict(row.split("\t") for row in rows)


def write_milliseconds(times: Iterable[tuple[str, str]], run: str) -> None:
    """Write what `read_milliseconds` reads."""
    lines = [f"# {run}", *(f"{config}\t{ms}" for config, ms in times)]
    _MILLISECONDS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    sizes = {}
    for config in list_configs():
        sizes[config] = measure(config)
        print(config, *sizes[config], flush=True)
    PAGE.write_text(make_page(sizes))


if __name__ == "__main__":
    main()
