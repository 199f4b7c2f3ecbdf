"""Options that several commands take."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from ppose.pixel_limit import max_pixels


def add_config_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """What every command on a config takes: the config and its overrides."""
    parser.add_argument(
        "-c",
        "--config",
        required=required,
        metavar="FILE",
        help="config file (YAML), or the name of one that comes with ppose",
    )
    words = "override config keys, as in -o weights=a.pdparams EvalReader.batch_size=8; +key=value adds one"
    add_override_option(parser, words)


def add_override_option(parser: argparse.ArgumentParser, words: str) -> None:
    """Overrides of a config, KEY=VALUE; ``words`` are its help."""
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
    """Which GPUs are visible, see `choose_gpus`."""
    parser.add_argument(
        "--gpu",
        type=read_gpus,
        metavar="LIST",
        help="the GPUs that are visible, as in 0, 0,1 or 0-3; several train at once with "
        "python -m paddle.distributed.launch --gpus 0,1,2,3",
    )


def choose_gpus(gpus: list[int] | None) -> None:
    """Show these GPUs alone to Paddle, which is to be imported after it; None leaves it all as it is."""
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))


def read_gpus(text: str) -> list[int]:
    """The GPUs of 0, 0,1 or 0-3; ArgumentTypeError for what is none."""
    gpus: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise argparse.ArgumentTypeError(f"got '{text}', expected GPUs as in 0, 0,1 or 0-3")
        gpus += range(int(first), int(last) + 1)
    return gpus


def whole_number(least: int) -> Callable[[str], int]:
    """The ``type`` of an argument that is a whole number, ``least`` or more."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"got '{text}', expected a whole number from {least} on")
        return int(text)

    return read


def add_pixel_option(parser: argparse.ArgumentParser) -> None:
    """How large an image may be, see `ppose.pixel_limit`; a command may have set a default of its own."""
    parser.add_argument(
        "--max_pixels",
        type=whole_number(1),
        default=parser.get_default("max_pixels") or max_pixels(),
        metavar="N",
        help="most pixels of an image or a frame; larger ones are not decoded (default: %(default)s)",
    )


def add_box_options(parser: argparse.ArgumentParser, whose: str) -> None:
    """Who is taken for a person: of ``whose`` boxes, with which score."""
    parser.add_argument(
        "--det_threshold",
        type=float,
        default=0.5,
        metavar="SCORE",
        help=f"lowest score of {whose} boxes (default: %(default)s)",
    )
    parser.add_argument(
        "--det_class",
        nargs="+",
        metavar="NAME|ID",
        help="classes to take for people, by name or by number (default: person)",
    )


def add_model_option(parser: argparse.ArgumentParser, *aliases: str, default: str) -> None:
    """Which keypoint network: a published one by its name, or an exported one by its folder."""
    parser.add_argument(
        "--model",
        *aliases,
        metavar="NAME|DIR",
        default=default,
        help="a name of `ppose models`, fetched and exported once, or a folder of `ppose export` (default: "
        "%(default)s)",
    )


def add_runtime_option(parser: argparse.ArgumentParser, default: str | None = "auto") -> None:
    """What runs an exported model; without a default a command can tell whether it was asked for."""
    parser.add_argument(
        "--runtime",
        choices=["auto", "paddle", "onnxruntime", "openvino"],
        default=default,
        help="what runs the exported model (default: auto, the fastest that is installed and has its file)",
    )


def add_precision_option(parser: argparse.ArgumentParser, default: str | None = "fp32") -> None:
    """What an exported model computes in; as `add_runtime_option`."""
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16", "fp16", "int8"],
        default=default,
        help="of the exported model's numbers (default: fp32)",
    )


def read_tiles(text: str) -> tuple[int, int]:
    """Columns and rows of 2x2; ArgumentTypeError for what is none."""
    columns, cross, rows = text.casefold().partition("x")
    if not (
        cross and columns.isdecimal() and rows.isdecimal() and len(text) < 8 and int(columns) * int(rows)
    ):
        raise argparse.ArgumentTypeError(f"got '{text}', expected columns and rows as in 2x2")
    return int(columns), int(rows)


def add_export_options(parser: argparse.ArgumentParser, name: str, *, for_lite: bool = False) -> None:
    """Where an export goes, to a folder of that name, and in which format, or also Paddle Lite's."""
    formats, more = ["paddle", "onnx"], ""
    if for_lite:
        formats, more = [*formats, "pdmodel"], "; pdmodel is the graph of Paddle 2, which Paddle Lite takes"
    parser.add_argument(
        "--output_dir",
        default="output_inference",
        metavar="DIR",
        help=f"the export goes to a folder {name} in it (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=formats,
        default="paddle",
        help=f"a second format of the same model goes into the same folder{more} (default: %(default)s)",
    )
    parser.add_argument(
        "--decode_in_graph",
        action="store_true",
        help="the graph ends in keypoints in image pixels, and takes the inverse of the warp beside images",
    )


def add_pnp_option(parser: argparse.ArgumentParser) -> None:
    """The 3D model of rigid things, for poses in space."""
    parser.add_argument(
        "--pnp",
        type=Path,
        metavar="MODEL.json",
        help="keypoints in space and the camera: find poses in space (6-DoF) too, and draw the axes",
    )


def add_conversion_options(parser: argparse.ArgumentParser, source: str) -> None:
    """What every converter of datasets takes; ``source`` says what it reads."""
    parser.add_argument("--input", type=Path, required=True, metavar="FILE_OR_DIR", help=source)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the COCO file to write")
    parser.add_argument(
        "--image_dir",
        type=Path,
        metavar="DIR",
        help="where the images are (default: looked for near the input)",
    )
