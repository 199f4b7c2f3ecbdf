"""Options that several commands take."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from ppose.pixel_limit import max_pixels


def add_config_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the config and its overrides."""
    parser.add_argument(
        "-c",
        "--config",
        required=required,
        metavar="FILE",
        help="config file (YAML), or the name of one that comes with ppose",
    )
    words = "override config keys: -o weights=a.pdparams EvalReader.batch_size=8; +key=value adds a key"
    add_override_option(parser, words)


def add_override_option(parser: argparse.ArgumentParser, words: str) -> None:
    """Add overrides of a config, KEY=VALUE; ``words`` are their help."""
    parser.add_argument(
        "-o",
        "--opt",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help=words,
    )


def add_gpu_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of visible GPUs, see `choose_gpus`."""
    parser.add_argument(
        "--gpu",
        type=read_gpus,
        metavar="LIST",
        help="visible GPUs, such as 0, 0,1 or 0-3; to train on several, use "
        "python -m paddle.distributed.launch --gpus 0,1,2,3",
    )


def choose_gpus(gpus: list[int] | None) -> None:
    """Make only these GPUs visible to Paddle. Call it before Paddle's import; None changes nothing."""
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))


def read_gpus(text: str) -> list[int]:
    """Parse GPUs written as 0, 0,1 or 0-3; raise ArgumentTypeError for anything else."""
    gpus: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise argparse.ArgumentTypeError(f"got '{text}', expected GPUs such as 0, 0,1 or 0-3")
        gpus += range(int(first), int(last) + 1)
    return gpus


def whole_number(least: int) -> Callable[[str], int]:
    """Return the ``type`` of an argument that is a whole number of ``least`` or more."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"got '{text}', expected a whole number of {least} or more")
        return int(text)

    return read


def add_pixel_option(parser: argparse.ArgumentParser) -> None:
    """Add the limit of image size, see `ppose.pixel_limit`; a command may have set its own default."""
    parser.add_argument(
        "--max_pixels",
        type=whole_number(1),
        default=parser.get_default("max_pixels") or max_pixels(),
        metavar="N",
        help="pixel limit of an image or frame; larger ones are not decoded (default: %(default)s)",
    )


def add_box_options(parser: argparse.ArgumentParser, boxes: str) -> None:
    """Add the score and the classes of people's boxes; ``boxes`` names the boxes in the help."""
    parser.add_argument(
        "--det_threshold",
        type=float,
        default=0.5,
        metavar="SCORE",
        help=f"lowest score of {boxes} (default: %(default)s)",
    )
    parser.add_argument(
        "--det_class",
        nargs="+",
        metavar="NAME|ID",
        help="classes that count as people, by name or number (default: person)",
    )


def add_model_option(parser: argparse.ArgumentParser, *aliases: str, default: str) -> None:
    """Add the keypoint network: a published one by name, or an exported one by folder."""
    parser.add_argument(
        "--model",
        *aliases,
        metavar="NAME|DIR",
        default=default,
        help="a name from `ppose models` (downloaded and exported once), or a folder of `ppose export` "
        "(default: %(default)s)",
    )


def add_runtime_option(parser: argparse.ArgumentParser, default: str | None = "auto") -> None:
    """Add the runtime of an exported model; with ``default=None`` a command can tell if it was given."""
    parser.add_argument(
        "--runtime",
        choices=["auto", "paddle", "onnxruntime", "openvino"],
        default=default,
        help="runtime of the exported model (default: auto: the fastest one installed whose file is there)",
    )


def add_precision_option(parser: argparse.ArgumentParser, default: str | None = "fp32") -> None:
    """Add the precision of an exported model; ``default`` as in `add_runtime_option`."""
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16", "fp16", "int8"],
        default=default,
        help="number format of the exported model (default: fp32)",
    )


def read_tiles(text: str) -> tuple[int, int]:
    """Parse columns and rows written as 2x2; raise ArgumentTypeError for anything else."""
    columns, cross, rows = text.casefold().partition("x")
    if not (
        cross and columns.isdecimal() and rows.isdecimal() and len(text) < 8 and int(columns) * int(rows)
    ):
        raise argparse.ArgumentTypeError(f"got '{text}', expected columns and rows such as 2x2")
    return int(columns), int(rows)


def add_export_options(parser: argparse.ArgumentParser, name: str, *, for_lite: bool = False) -> None:
    """Add an export's format (``for_lite``: also Paddle Lite's) and its folder ``name`` in --output_dir."""
    formats, more = ["paddle", "onnx"], ""
    if for_lite:
        formats, more = [*formats, "pdmodel"], "; pdmodel is the graph of Paddle 2, for Paddle Lite"
    parser.add_argument(
        "--output_dir",
        default="output_inference",
        metavar="DIR",
        help=f"folder that gets the export as {name} (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=formats,
        default="paddle",
        help=f"formats of the same model can share a folder{more} (default: %(default)s)",
    )
    parser.add_argument(
        "--decode_in_graph",
        action="store_true",
        help="make the graph output keypoints in image pixels; it also takes the inverse warp matrices",
    )


def add_pnp_option(parser: argparse.ArgumentParser) -> None:
    """Add the 3D model of a rigid object, for poses in space."""
    parser.add_argument(
        "--pnp",
        type=Path,
        metavar="MODEL.json",
        help="3D keypoints and camera: also compute 6-DoF poses, and draw their axes",
    )


def add_conversion_options(parser: argparse.ArgumentParser, source: str) -> None:
    """Add the options of a dataset converter; ``source`` is the help of its input."""
    parser.add_argument("--input", type=Path, required=True, metavar="FILE_OR_DIR", help=source)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="COCO file to write")
    parser.add_argument(
        "--image_dir",
        type=Path,
        metavar="DIR",
        help="folder of the images (default: looked for near the input)",
    )
