"""Serves an exported model over HTTP, with a web page to try it."""

import argparse
import signal
from pathlib import Path

from ppose.options import add_model_option, add_runtime_option, whole_number
from ppose.serving.limits import Limits
from ppose.zoo import DEFAULT_DETECTOR, DEFAULT_POSE, NO_DETECTOR


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_model_option(parser, default=DEFAULT_POSE)
    parser.add_argument(
        "--detector",
        metavar="NAME|DIR",
        help="person detector for images without boxes: a name of `ppose models`, or a folder exported by "
        f"PaddleDetection; {NO_DETECTOR}: an image is one person (default for a model by name: "
        f"{DEFAULT_DETECTOR})",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 accepts other machines (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=whole_number(0),
        default=8000,
        help="port to listen on; 0: any free one (default: %(default)s)",
    )
    add_runtime_option(parser)
    parser.add_argument(
        "--cpu_threads", type=whole_number(1), metavar="N", help="threads (default: all cores)"
    )
    parser.add_argument(
        "--batch_size", type=whole_number(1), default=16, help="people per batch (default: %(default)s)"
    )
    parser.add_argument(
        "--delay_ms", type=whole_number(0), default=5,
        help="most milliseconds that a batch waits for further requests (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--queue", type=whole_number(1), default=128,
        help="limit of requests at once; further ones get status 503 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=whole_number(1), default=30, metavar="SECONDS",
        help="limit for an answer, and for the shutdown after SIGTERM (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--max_mb", type=whole_number(1), default=16, help="limit of an image file (default: %(default)s)"
    )
    parser.set_defaults(max_pixels=Limits.pixels)


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.boxes import DET_THRESHOLD
    from ppose.errors import DeviceError, DownloadError
    from ppose.inference.command import warm_up
    from ppose.inference.predictor import Predictor
    from ppose.interrupts import INTERRUPTS, Interrupts
    from ppose.serving.app import make_app
    from ppose.serving.batching import batch_sizes
    from ppose.serving.server import listen, make_server
    from ppose.zoo.detectors import open_named
    from ppose.zoo.exports import find_folder

    limits = Limits(
        requests=args.queue,
        bytes=args.max_mb << 20,
        pixels=args.max_pixels,
        answer_seconds=args.timeout,
    )
    sizes = batch_sizes(args.batch_size)
    predictor = Predictor.from_dir(
        find_folder(args.model, args.runtime),
        runtime=args.runtime,
        precision="fp32",  # `ppose tune` measures single people and folders, not requests
        cpu_threads=args.cpu_threads,
        batch_size=args.batch_size,
        batches=sizes,
    )
    detector = args.detector or (NO_DETECTOR if Path(args.model).is_dir() else DEFAULT_DETECTOR)
    find_people = None
    if detector != NO_DETECTOR:
        try:
            find_people = open_named(detector, DET_THRESHOLD, cpu_threads=args.cpu_threads)
        except (DeviceError, DownloadError) as error:
            raise type(error)(f"{error}; --detector {NO_DETECTOR} treats an image as one person") from None
    warm_up(predictor, sizes)
    name = Path(args.model).resolve().name
    app = make_app(predictor, name, find_people=find_people, limits=limits, delay=args.delay_ms / 1000)
    listener = listen(args.host, args.port)
    host, port = listener.getsockname()[:2]
    with Interrupts() as interrupts:
        server = make_server(
            app, read_seconds=limits.read_seconds, grace_seconds=args.timeout, end=interrupts.end
        )
    for number in {*INTERRUPTS} - {signal.SIGINT}:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, server.handle_exit)
    print(f"{name}: http://{host}:{port}/ (stop with Ctrl-C)", flush=True)
    server.run(sockets=[listener])
