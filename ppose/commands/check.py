"""Says what is wrong or odd with a dataset, before hours of training are spent on it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppose.data.coco import KeypointTopDownCocoDataset
    from ppose.data.inspection.findings import Finding
    from ppose.keypoints import KeypointSet

_DATASETS = ("TrainDataset", "EvalDataset")
_SHOWN = {"wrong": 50, "odd": 4}  # examples in the table


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "datasets",
        nargs="+",
        metavar="DATASET|CONFIG",
        help="annotation files, folders with annotations.json and images/ (or train/ and val/ with these), "
        "or one config, whose TrainDataset and EvalDataset are checked; of several the images are compared",
    )
    parser.add_argument(
        "-o",
        "--opt",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="override keys of the config",
    )
    parser.add_argument(
        "--image_dir", type=Path, metavar="DIR", help="of annotation files (default: images/ beside them)"
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=Path("output/check"),
        metavar="DIR",
        help="what was found of each dataset, all of it (.json) and the worst people (.png), goes there "
        "(default: %(default)s)",
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Do what the parsed options say; exit code 1 where something is wrong."""
    from tqdm import tqdm

    from ppose.data.inspection.findings import ImageInspection, find_shared_images, inspect_people
    from ppose.data.inspection.sheet import draw_sheet

    is_wrong = False
    seen: list[tuple[str, ImageInspection]] = []
    for name, dataset, keypoint_set in open_datasets(args.datasets, args.overrides, args.image_dir):
        inspection = ImageInspection(dataset)
        findings = inspect_people(dataset, keypoint_set)
        findings += inspection.run(lambda rows: tqdm(rows, "images", disable=None, leave=False))
        for other, earlier in seen:
            shared = find_shared_images(inspection, earlier)
            findings += [type(f)(f"images that are in {other} too", f.level, f.examples) for f in shared]
        seen.append((name, inspection))
        is_wrong |= any(finding.level == "wrong" for finding in findings)
        _print_table(name, dataset, findings)
        _write_files(args.output_dir / name, findings, draw_sheet(dataset, keypoint_set, findings))
    sys.exit(int(is_wrong))


def open_datasets(
    datasets: Sequence[str], overrides: Sequence[str], image_dir: Path | None, keys: Sequence[str] = _DATASETS
) -> list[tuple[str, "KeypointTopDownCocoDataset", "KeypointSet"]]:
    """Name, dataset and keypoint set of annotation files and folders, or of these ``keys`` of one config."""
    given = [Path(text).expanduser() for text in datasets]
    if not given[0].is_dir() and given[0].suffix.lower() != ".json":
        return _of_config(datasets[0], overrides, keys)
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
        raise ConfigError(f"{config}: no {' or '.join(keys)} of annotation files")
    return ours


def _annotation_files(path: Path) -> list[Path]:
    from ppose.errors import DataError

    if path.suffix.lower() == ".json":
        return [path]
    found = [folder / "annotations.json" for folder in (path, path / "train", path / "val")]
    found = [file for file in found if file.is_file()]
    if not found:
        raise DataError(f"{path}: no annotations.json in it, nor in train/ or val/: name the annotation file")
    return found


def _short_name(file: Path) -> str:
    return file.stem if file.stem != "annotations" else file.parent.name or file.stem


def _print_table(name: str, dataset: "KeypointTopDownCocoDataset", findings: "list[Finding]") -> None:
    from ppose.paths import show_name

    annotations = dataset.annotations
    print(f"{show_name(name)}: {len(dataset)} people, {len(annotations.images)} images ({annotations.where})")
    for reason, count in annotations.left_out.items():
        print(f"  left out    {count:>7}  {show_name(reason)}")
    for finding in findings:
        most = _SHOWN[finding.level]
        shown = ", ".join(finding.examples[:most]) + (", ..." if finding.count > most else "")
        print(f"  {finding.level:<10}  {finding.count:>7}  {finding.kind}: {shown}")
    if not findings:
        print("  nothing found")


def _write_files(path: Path, findings: "list[Finding]", sheet: Any) -> None:
    import cv2

    from ppose.files import write_bytes, write_json
    from ppose.paths import show_name

    if not findings:
        return
    file = path.parent / f"{path.name}.json"
    write_json(file, [{"kind": f.kind, "level": f.level, "examples": list(f.examples)} for f in findings])
    print(f"  all of it: {show_name(file)}")
    if sheet is not None:
        picture = path.parent / f"{path.name}.png"
        write_bytes(picture, cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
        print(f"  the worst people: {show_name(picture)}")
