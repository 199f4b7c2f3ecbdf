"""Reports what is wrong or odd in a dataset, before hours of training are spent on it."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppose.commands.datasets import add_opening_options, open_datasets

if TYPE_CHECKING:
    from ppose.data.coco import KeypointTopDownCocoDataset
    from ppose.data.inspection.findings import Finding

_SHOWN = {"wrong": 50, "odd": 4}  # examples in the table


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "datasets",
        nargs="+",
        metavar="DATASET|CONFIG",
        help="annotation files, folders with annotations.json and images/ (or train/ and val/ with these), "
        "or one config (its TrainDataset and EvalDataset); several are checked for shared images",
    )
    add_opening_options(parser)
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=Path("output/check"),
        metavar="DIR",
        help="folder for the findings: per dataset the full list (.json) and the worst people (.png) "
        "(default: %(default)s)",
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command; exit code 1 if something is wrong."""
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
            findings += find_shared_images(inspection, earlier, other)
        seen.append((name, inspection))
        is_wrong |= any(finding.level == "wrong" for finding in findings)
        _print_table(name, dataset, findings)
        _write_files(args.output_dir / name, findings, draw_sheet(dataset, keypoint_set, findings))
    sys.exit(int(is_wrong))


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
    from ppose.files import write_bytes, write_json
    from ppose.paths import show_name
    from ppose.visualize import encode_picture

    if not findings:
        return
    file = path.parent / f"{path.name}.json"
    write_json(file, [{"kind": f.kind, "level": f.level, "examples": list(f.examples)} for f in findings])
    print(f"  full list: {show_name(file)}")
    if sheet is not None:
        picture = path.parent / f"{path.name}.png"
        write_bytes(picture, encode_picture(sheet, ".png"))
        print(f"  the worst people: {show_name(picture)}")
