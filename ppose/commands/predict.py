"""Finds people and their poses in images, videos or a camera's picture: `ppose predict photo.jpg`."""

import argparse
import logging
import math
import re
from fractions import Fraction
from functools import partial
from pathlib import Path

from ppose.options import (
    add_box_options,
    add_model_option,
    add_pnp_option,
    add_precision_option,
    add_runtime_option,
    read_tiles,
    whole_number,
)
from ppose.zoo import DEFAULT_DETECTOR, DEFAULT_POSE, NO_DETECTOR

_logger = logging.getLogger(__name__)


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"got '{text}', expected true or false")
    return values[text.lower()]


def _time(text: str) -> float:
    """Parse 90, 90.5, 1:30 or 0:01:30.5 as seconds."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"got '{text}', expected seconds, or a time such as 0:01:30.5")
    return sum(float(part) * 60**power for power, part in enumerate(reversed(text.split(":"))))


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text).limit_denominator(10**6)  # FFmpeg's numbers have 32 bits
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not Fraction(1, 10**5) <= rate <= 1000:
        raise argparse.ArgumentTypeError(f"got '{text}', expected frames per second as in 25 or 30000/1001")
    return rate


def _smoothing(text: str) -> str | None:
    kinds: dict[str, str | None] = {kind: kind for kind in ("one_euro", "savgol", "rts")}
    kinds |= {"true": "one_euro", "1": "one_euro", "false": None, "0": None}  # from when there was one kind
    if text.lower() not in kinds:
        raise argparse.ArgumentTypeError(f"got '{text}', expected one_euro, savgol or rts")
    return kinds[text.lower()]


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"got '{text}', expected seconds, 0 or more")
    return value


def _add_switch(parser: argparse._ActionsContainer, name: str, default: bool | None, text: str) -> None:
    parser.add_argument(
        name, type=_boolean, nargs="?", const=True, default=default, metavar="BOOL", help=text
    )


def _add_source(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "source",
        type=Path,
        nargs="?",
        metavar="FILE|DIR",
        help="an image, a folder of images or a video; a detector finds the people",
    )
    source.add_argument("--image_file", type=Path, metavar="FILE", help="image of one person")
    source.add_argument("--image_dir", type=Path, metavar="DIR", help="folder of images of one person each")
    source.add_argument(
        "--video_file", type=Path, metavar="FILE", help="video, or numbered images such as frame%%05d.png"
    )
    source.add_argument("--camera_id", type=whole_number(0), metavar="N", help="camera, until Ctrl-C")
    source.add_argument("--stream", metavar="URL", help="stream (rtsp:// and others), until Ctrl-C")
    people = parser.add_mutually_exclusive_group()
    people.add_argument(
        "--boxes", metavar="FILE", help="people in images: COCO annotations, or a JSON list of {image, bbox}"
    )
    people.add_argument(
        "--detector",
        "--det_model_dir",
        metavar="NAME|DIR|FILE",
        help="person detector: a name of `ppose models`, an export of PaddleDetection or PaddleX, or ONNX of "
        f"PicoDet, YOLO or RTMDet; none: an image is one person (default for FILE|DIR: {DEFAULT_DETECTOR})",
    )
    add_box_options(parser, "detected boxes, and of --boxes that have scores")
    parser.add_argument(
        "--tiles",
        type=read_tiles,
        metavar="2x2",
        help="also search for small people in this grid of tiles (columns x rows); slower",
    )


def _add_runtime(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", type=str.lower, choices=["cpu", "gpu"], default="cpu", help="processor (default: cpu)"
    )
    add_runtime_option(parser, default=None)
    add_precision_option(parser, default=None)
    parser.add_argument(
        "--run_mode",
        choices=["paddle", "trt_fp32", "trt_fp16", "trt_int8"],
        default="paddle",
        help="trt_*: Paddle with TensorRT, on a GPU (default: %(default)s)",
    )
    parser.add_argument(
        "--batch_size",
        type=whole_number(1),
        metavar="N",
        help="people per batch (default: 16; for folders and videos 8 of 128x96, 4 of 256x192)",
    )
    parser.add_argument("--cpu_threads", type=whole_number(1), metavar="N", help="cores (default: all)")
    words = "use oneDNN in Paddle on the CPU (default: true); false implies --runtime paddle"
    _add_switch(parser, "--enable_mkldnn", True, words)
    for name in ("min", "opt", "max"):
        parser.add_argument(f"--trt_{name}_shape", type=int, help="no effect: the model fixes its input size")
    _add_switch(parser, "--trt_calib_mode", False, "not available: int8 needs a quantized model")


def _add_clip(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--start", type=_time, default=0.0, metavar="TIME", help="videos: start here, s or h:mm:ss.s"
    )
    parser.add_argument("--end", type=_time, metavar="TIME", help="videos: end here")
    parser.add_argument(
        "--every", type=whole_number(1), default=1, metavar="N", help="videos: use every N-th frame"
    )
    parser.add_argument(
        "--fps", type=_rate, metavar="RATE", help="numbered images: frames per second (default: 25)"
    )
    parser.add_argument(
        "--codec",
        choices=["h264", "hevc", "av1", "vp9", "mpeg4"],
        default="h264",
        help="codec of the written video (default: %(default)s, which browsers play)",
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_model_option(parser, "--model_dir", default=DEFAULT_POSE)
    _add_source(parser)
    _add_clip(parser)
    _add_runtime(parser)
    parser.add_argument(
        "--threshold", type=float, default=0.2, help="lowest keypoint score drawn (default: %(default)s)"
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=Path("output"),
        metavar="DIR",
        help="folder for the results (default: %(default)s)",
    )
    add_pnp_option(parser)
    _add_switch(parser, "--use_dark", None, "decode with DARK's step (default: as the model was evaluated)")
    _add_switch(
        parser,
        "--save_json",
        None,
        "also write keypoints.json; for videos .jsonl, one line per frame (default: true for FILE|DIR)",
    )
    _add_switch(parser, "--save_csv", False, "images: also write the poses as a table, keypoints.csv")
    parser.add_argument(
        "--save_labels",
        choices=["cvat", "labelstudio", "labelme", "yolo"],
        help="images: also write the poses as labels for this tool, to be corrected there",
    )
    parser.add_argument(
        "--tracking",
        choices=["oks", "iou"],
        default="oks",
        help="match people between frames by boxes and poses (oks), or boxes alone (default: %(default)s)",
    )
    parser.add_argument(
        "--low_threshold",
        type=float,
        metavar="SCORE",
        help="videos with a detector: boxes with at least this score (of people half hidden) continue "
        "tracks but start none; costs more poses (default: none below --det_threshold)",
    )
    parser.add_argument(
        "--smooth",
        type=_smoothing,
        nargs="?",
        const="one_euro",
        metavar="one_euro|savgol|rts",
        help="smooth the poses in videos: one_euro (also --smooth alone) works online; savgol (parabolas "
        "over 0.3 s) and rts (a Kalman smoother) use later frames too, and read the file twice",
    )
    parser.add_argument(
        "--fill_gaps",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="interpolate poses over gaps up to this long, marked is_filled; reads the video twice",
    )
    parser.add_argument(
        "--save_tracks",
        choices=["csv", "mot"],
        help="videos: write NAME.tracks.csv, one row per keypoint, or NAME.txt in MOTChallenge's format",
    )
    _add_switch(parser, "--run_benchmark", False, "print the time per person of each step")


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    uses_tensorrt = args.run_mode != "paddle"
    if uses_tensorrt and args.runtime not in (None, "auto", "paddle"):
        parser.error(f"--run_mode {args.run_mode} needs --runtime paddle, got {args.runtime}")
    if uses_tensorrt and args.precision is not None:
        parser.error(f"--run_mode {args.run_mode} already sets the precision; leave --precision out")
    if uses_tensorrt and args.device != "gpu":
        parser.error(f"--run_mode {args.run_mode} needs --device gpu")
    if args.trt_calib_mode:
        parser.error("--trt_calib_mode: Paddle 3 cannot calibrate TensorRT; int8 needs a quantized model")
    if args.det_class and not (args.boxes or args.detector):
        parser.error("--det_class needs --detector or --boxes")
    if args.tiles and args.detector in (None, NO_DETECTOR):
        parser.error("--tiles needs a --detector")
    is_video = args.image_file is None and args.image_dir is None
    if (args.save_csv or args.save_labels) and is_video:
        parser.error("--save_csv and --save_labels are for images")
    is_live = args.camera_id is not None or args.stream is not None
    if args.low_threshold is not None and not (is_video and args.detector):
        parser.error("--low_threshold is for videos with --detector")
    if is_live and (args.smooth in ("savgol", "rts") or args.fill_gaps):
        parser.error("--smooth savgol, --smooth rts and --fill_gaps need a video file: they use later frames")
    if (args.fill_gaps or args.save_tracks) and not is_video:
        parser.error("--fill_gaps and --save_tracks are for videos")
    if args.boxes and is_video:
        parser.error("--boxes is for images; videos need --detector")
    if not is_video and (args.start or args.end or args.every > 1 or args.fps):
        parser.error("--start, --end, --every and --fps are for videos")
    if args.end is not None and args.end <= args.start:
        parser.error(f"--end is {args.end:g} s, --start is {args.start:g} s: expected a later end")


def _read_source(args: argparse.Namespace) -> None:
    """Set the option that FILE|DIR stands for; turn on the detector and the JSON file by default."""
    from ppose.image_files import is_video_name

    if args.source.is_dir():
        args.image_dir = args.source
    elif is_video_name(args.source.name):
        args.video_file = args.source
    else:
        args.image_file = args.source
    if args.boxes is None and args.detector is None:
        args.detector = DEFAULT_DETECTOR
    if args.save_json is None:
        args.save_json = True


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    if args.source is not None:
        _read_source(args)
    _check(parser, args)
    if args.trt_min_shape or args.trt_opt_shape or args.trt_max_shape:
        _logger.warning("--trt_*_shape have no effect: the model fixes its input size")

    from ppose.image_files import warn_of_videos
    from ppose.inference import command
    from ppose.inference.video_frames import Clip
    from ppose.zoo.prediction import open_detector, open_predictor, predict_images

    opening = partial(open_predictor, args), partial(open_detector, args)
    results = {
        "threshold": args.threshold,
        "save_json": bool(args.save_json),
        "run_benchmark": args.run_benchmark,
        "pnp": args.pnp,
    }
    if args.image_file is not None or args.image_dir is not None:
        warn_of_videos(args.image_dir)
        predict_images(args, opening, results)
        return
    from ppose.inference.tracking import Finish

    source = args.camera_id if args.camera_id is not None else args.stream or args.video_file
    clip = Clip(start=args.start, end=args.end, every=args.every)
    options = {"similarity": args.tracking, "sure_score": args.det_threshold, **results}
    options |= {"finish": Finish(args.smooth, args.fill_gaps), "save_tracks": args.save_tracks}
    options |= {"clip": clip, "rate": args.fps, "codec": args.codec}
    command.infer_video(source, *opening, args.output_dir, **options)
