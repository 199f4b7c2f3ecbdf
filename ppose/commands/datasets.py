"""Options for datasets and results files, shared by several commands."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppose.options import add_override_option
from ppose.paths import expand_path

if TYPE_CHECKING:
    from ppose.data.coco import KeypointTopDownCocoDataset
    from ppose.keypoints import KeypointSet
    from ppose.metrics.coco_evaluation import Evaluation

_DATASETS = ("TrainDataset", "EvalDataset")


def add_opening_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `open_datasets` takes beside the datasets."""
    add_override_option(parser, "override keys of the config")
    parser.add_argument(
        "--image_dir",
        type=Path,
        metavar="DIR",
        help="image folder (default: images/ beside the annotation file)",
    )


def add_results_options(parser: argparse.ArgumentParser, words: str) -> None:
    """Add results files, with ``words`` as help, and the annotations and images that they belong to."""
    parser.add_argument("results", nargs="+", metavar="RESULTS", help=words)
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="FILE|CONFIG",
        help="annotation file, or a config (its EvalDataset and keypoint set)",
    )
    add_opening_options(parser)


def open_results(args: argparse.Namespace) -> tuple["KeypointTopDownCocoDataset", "list[Evaluation]"]:
    """Return the dataset of `add_results_options`, and each results file evaluated on it."""
    from ppose.metrics.coco_evaluation import Evaluation, make_truth
    from ppose.reports.results import read_results

    ((_, dataset, keypoint_set),) = open_datasets(
        [args.dataset], args.overrides, args.image_dir, ["EvalDataset"]
    )
    truth = make_truth(dataset.annotations)
    return dataset, [
        Evaluation.of(read_results(expand_path(path), dataset.annotations, keypoint_set), truth, keypoint_set)
        for path in args.results
    ]


def name_results(files: list[str]) -> list[str]:
    """Return the files' names, with as many parent folders as are needed to tell them apart."""
    parts = [Path(file).parts for file in files]
    depth = 1
    while len({part[-depth:] for part in parts}) < len(files) and depth < max(map(len, parts)):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]


def open_datasets(
    datasets: Sequence[str], overrides: Sequence[str], image_dir: Path | None, keys: Sequence[str] = _DATASETS
) -> list[tuple[str, "KeypointTopDownCocoDataset", "KeypointSet"]]:
    """Name, dataset and keypoint set of annotation files and folders, or of ``keys`` of one config."""
    given = [Path(expand_path(text)) for text in datasets]
    if not given[0].is_dir() and given[0].suffix.lower() != ".json":
        return _of_config(expand_path(datasets[0]), overrides, keys)
    from ppose.annotations.guess import guess_keypoint_set
    from ppose.data.coco import KeypointTopDownCocoDataset
    from ppose.image_files import find_image_folder

    opened = []
    for file in (part for path in given for part in _annotation_files(path)):
        keypoint_set = guess_keypoint_set(file)
        images = image_dir or find_image_folder(file)
        dataset = KeypointTopDownCocoDataset(str(images), str(file), [192, 256], keypoint_set)
        opened.append((_short_name(file), dataset, keypoint_set))
    return opened


def _of_config(
    config: str, overrides: Sequence[str], keys: Sequence[str]
) -> list[tuple[str, Any, "KeypointSet"]]:
    from ppose.data.coco import KeypointTopDownCocoDataset
    from ppose.engine.task import Task
    from ppose.errors import ConfigError
    from ppose.workspace import load_config

    task = Task(load_config(config, overrides))
    opened = [(key, task.dataset(key), task.keypoint_set) for key in keys if task.has(key)]
    ours = [entry for entry in opened if isinstance(entry[1], KeypointTopDownCocoDataset)]
    if not ours:
        raise ConfigError(f"{config}: no {' or '.join(keys)} with annotation files")
    return ours


def _annotation_files(path: Path) -> list[Path]:
    from ppose.errors import DataError

    if path.suffix.lower() == ".json":
        return [path]
    found = [folder / "annotations.json" for folder in (path, path / "train", path / "val")]
    found = [file for file in found if file.is_file()]
    if not found:
        raise DataError(
            f"{path}: no annotations.json in it, nor in train/ or val/: name the annotation file, or convert "
            f"other labels (YOLO, labelme, CVAT ...): `ppose convert {path} annotations.json`"
        )
    return found


def _short_name(file: Path) -> str:
    return file.stem if file.stem != "annotations" else file.parent.name or file.stem
