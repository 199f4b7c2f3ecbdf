"""What the rewriting at export brings: the exported network against the trained one, exported as it is.

    python benchmarks/deployment.py -c configs/lite_hrnet_30_256x192_coco.yml -o weights=...

Exports both to a temporary folder, for Paddle and as ONNX, and runs them in turns in every runtime, one
person at a time. "plain" is the network layer by layer as it is trained, "without oneDNN" Paddle with its own
kernels.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.commandline import make_parser, run

PLAIN, EXPORTED = "plain", "exported"


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--cpu_threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()

    from ppose.engine.task import Task
    from ppose.errors import PposeError
    from ppose.inference.benchmark import make_scenes, measure
    from ppose.workspace import load_config

    with tempfile.TemporaryDirectory() as folder:
        folders = export_both(Task(load_config(args.config, args.overrides)), Path(folder))
        contenders = make_contenders(folders, args.cpu_threads)
        results = measure(list(contenders.values()), make_scenes(64), rounds=args.rounds, batches=10)
    print(f"{args.config}, {args.cpu_threads} threads, one person at a time, milliseconds")
    print(f"  {'':42}network p50  all p50  all p90  peak MB")
    for name, result in zip(contenders, results, strict=True):
        if isinstance(result, PposeError):
            print(f"  {name:42}{result}")
            continue
        numbers = (result.parts["network"], result.p50, result.p90)
        print(f"  {name:42}{numbers[0]:11.1f}{numbers[1]:9.1f}{numbers[2]:9.1f}{result.peak_memory:9.0f}")


def export_both(task: Any, folder: Path) -> dict[str, Path]:
    """Both exports in both formats; prints how many operators each has."""
    from ppose.export import export

    folders = {name: folder / name for name in (PLAIN, EXPORTED)}
    for name, path in folders.items():
        for kind in ("paddle", "onnx"):
            options = export.Options(format=kind)
            if name == PLAIN:
                with mock.patch.object(export, "deploy_form", lambda model: model):
                    report = export.export_model(task, name, path, options)
            else:
                report = export.export_model(task, name, path, options)
            exported = {key: count for key, count in report.operators.items() if key != "trained"}
            print(f"{name}, operators: {', '.join(f'{key} {count}' for key, count in exported.items())}")
    return folders


def make_contenders(folders: dict[str, Path], threads: int) -> dict[str, Any]:
    """By the name that the table has for it."""
    from ppose.inference.benchmark import Contender

    contenders = {
        "plain, paddle without oneDNN": Contender(
            folders[PLAIN], "paddle", cpu_threads=threads, options={"enable_mkldnn": False}
        )
    }
    for name, path in folders.items():
        for runtime in ("paddle", "onnxruntime", "openvino"):
            contenders[f"{name}, {runtime}"] = Contender(path, runtime, cpu_threads=threads)
    contenders["exported, openvino, bf16"] = Contender(
        folders[EXPORTED], "openvino", precision="bf16", cpu_threads=threads
    )
    return contenders


if __name__ == "__main__":
    run(main)
