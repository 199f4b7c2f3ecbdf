"""Exports a trained network for other runtimes: Paddle Inference or ONNX, with all that runs it."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.commandline import add_export_options, make_parser, run


def main() -> None:
    parser = make_parser(__doc__)
    add_export_options(parser, "<config>")
    parser.add_argument(
        "--batch", type=int, metavar="N", help="images that the graph takes at a time (default: any number)"
    )
    parser.add_argument(
        "--fuse_normalize", action="store_true", help="normalise in the graph, which then takes uint8 images"
    )
    parser.add_argument("--flip_test", action="store_true", help="do the flip test in the graph")
    args = parser.parse_args()
    os.environ.setdefault("GLOG_minloglevel", "2")  # Paddle's notes about its own tracing

    from ppose.engine.runtime import select_device
    from ppose.engine.task import Task
    from ppose.export.export import Options, export_model
    from ppose.workspace import load_config

    task = Task(load_config(args.config, args.overrides))
    select_device(task.settings.use_gpu)
    options = Options(
        format=args.format, batch=args.batch, fuse_normalize=args.fuse_normalize, flip_test=args.flip_test
    )
    name = Path(args.config).stem
    print(export_model(task, name, Path(args.output_dir) / name, options).describe())


if __name__ == "__main__":
    run(main)
