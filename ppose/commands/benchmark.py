"""Measures the latency, throughput and memory of an exported model."""

import argparse
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ppose.commandline import align_columns
from ppose.options import whole_number


def _names(text: str) -> list[str]:
    return text.split(",")


def _counts(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"got '{text}', expected whole numbers of 1 or more, as in 1,8")
    return [int(part) for part in parts]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--model_dir", type=Path, required=True, metavar="DIR", help="folder of tools/export_model.py"
    )
    parser.add_argument(
        "--runtime",
        type=_names,
        default=["auto"],
        help="runtimes, such as paddle,onnxruntime,openvino (default: auto)",
    )
    parser.add_argument(
        "--precision", type=_names, default=["fp32"], help="number formats, such as fp32,bf16 (default: fp32)"
    )
    parser.add_argument(
        "--cpu_threads",
        type=_counts,
        default=[None],
        help="numbers of threads, such as 1,2 (default: all cores)",
    )
    parser.add_argument(
        "--batch_size", type=_counts, default=[1], help="people per batch, such as 1,8 (default: 1)"
    )
    parser.add_argument("--image_dir", type=Path, metavar="DIR", help="images (default: one noise image)")
    parser.add_argument(
        "--boxes", metavar="FILE", help="their people: COCO annotations, or a JSON list of {image, bbox}"
    )
    parser.add_argument(
        "--rounds", type=whole_number(1), default=10, help="rounds of each setting (default: %(default)s)"
    )
    parser.add_argument(
        "--batches", type=whole_number(1), default=10, help="batches in each round (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    if (args.image_dir is None) != (args.boxes is None):
        parser.error("--image_dir and --boxes go together")

    from ppose.errors import PposeError
    from ppose.files import check_writable, write_json
    from ppose.inference.benchmark import Contender, make_scenes, measure
    from ppose.inference.paddle_pose import read_export

    read_export(args.model_dir)  # so that a faulty export is reported once
    if args.json is not None:
        check_writable(args.json)
    scenes = make_scenes(64) if args.image_dir is None else read_scenes(args.image_dir, args.boxes)
    choices = itertools.product(args.runtime, args.precision, args.cpu_threads, args.batch_size)
    contenders = [
        Contender(args.model_dir, runtime, precision, threads, batch_size)
        for runtime, precision, threads, batch_size in choices
    ]
    results = measure(contenders, scenes, rounds=args.rounds, batches=args.batches)
    measured = [(c, r) for c, r in zip(contenders, results, strict=True) if not isinstance(r, PposeError)]
    if not measured:
        raise next(result for result in results if isinstance(result, PposeError))
    print_table(measured)
    failed = [(c, r) for c, r in zip(contenders, results, strict=True) if isinstance(r, PposeError)]
    lines = [f"not measured: {contender.runtime}, {contender.precision}: {why}" for contender, why in failed]
    for line in dict.fromkeys(lines):  # one line for all thread counts and batch sizes
        print(line)
    if args.json is not None:
        write_json(args.json, [to_record(contender, result) for contender, result in measured])


def read_scenes(image_dir: Path, boxes: str) -> list[tuple[Any, Any]]:
    """The images with people, and the people's boxes (N, 4) xyxy."""
    from ppose.image_files import list_images, read_boxes_and_sizes
    from ppose.transforms import read_annotated

    files = list_images(image_dir)
    found = zip(files, *read_boxes_and_sizes(boxes, files), strict=True)
    return [(read_annotated(file, size)[0], people) for file, people, size in found if len(people)]


def print_table(measured: Sequence[tuple[Any, Any]]) -> None:
    """Print a line for each contender, times in milliseconds per batch."""
    titles = ["runtime", "precision", "threads", "batch", "p50 ms", "p90 ms", "people/s"]
    rows = [[*titles, "pre ms", "network ms", "post ms", "peak MB"]]
    for contender, result in measured:
        numbers = [result.p50, result.p90, result.people_per_second, *result.parts.values()]
        rows.append(
            [
                result.runtime,
                contender.precision,
                str(contender.cpu_threads or "all"),
                str(contender.batch_size),
                *(f"{number:.2f}" for number in numbers),
                f"{result.peak_memory:.0f}",
            ]
        )
    print("\n".join(align_columns(rows, left=2)))


def to_record(contender: Any, result: Any) -> dict[str, Any]:
    """The record that --json writes for a contender."""
    asked = {"precision": contender.precision, "cpu_threads": contender.cpu_threads}
    return {**asked, "batch_size": contender.batch_size, **dataclasses.asdict(result)}
