"""Time per person of each network of configs/ on this processor, for docs/cpu_ms.tsv.

    python benchmarks/models.py --folder /tmp/exports --export_only
    python benchmarks/models.py --folder /tmp/exports

Weights and biases are random, since OpenVINO does not fuse equal biases into convolutions. Configs whose
networks have the same size (docs/models.md) count as one network. Each is exported, checked by the export,
and run in OpenVINO without the flip test, in a process of its own, one after another: median milliseconds
from an image in memory to keypoints. A second run reuses exports, and keeps the smaller figure of each
network if processor and runtime are the same, since other load only adds time. docs/make_models.py puts the
figures into the page.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))

import make_models

from ppose.commandline import run

_RUNTIME = "openvino"
_ROUNDS, _BATCHES = 3, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where exports are kept")
    parser.add_argument("--export_only", action="store_true", help="what takes long, but is not measured")
    parser.add_argument("--seconds", type=float, default=3600, help="export nothing more after this time")
    parser.add_argument("--cpu_threads", type=int, default=2)
    parser.add_argument("--most_gmacs", type=float, default=10.5, help="leave larger networks out")
    args = parser.parse_args()

    end = time.monotonic() + args.seconds
    folders = {}
    for config in list_networks(args.most_gmacs):
        folders[config] = args.folder / config
        if not (folders[config] / "infer_cfg.yml").is_file() and time.monotonic() < end:
            export(config, folders[config])
            print("exported", config, flush=True)
    if args.export_only:
        return
    run_now, (run_before, before) = describe_run(args.cpu_threads), make_models.read_milliseconds()
    is_same = run_now.rpartition(", ")[0] == run_before.rpartition(", ")[0]  # but for the date
    times = dict(before) if is_same else {}
    for config, folder in folders.items():
        if (folder / "infer_cfg.yml").is_file():
            took = measure(folder, args.cpu_threads)
            times[config] = f"{min(took, float(times.get(config, took))):.1f}"
            print(f"{config}: {took:.1f} ms", flush=True)
    make_models.write_milliseconds(times.items(), run_now)


def list_networks(most_gmacs: float) -> list[str]:
    """The first config of each size of networks, smallest first."""
    sizes = make_models.read_sizes(make_models.PAGE.read_text())
    firsts = {make_models.network_of(cells): config for config, cells in reversed(sizes.items())}
    gmacs = {config: float(sizes[config][3].split()[0]) for config in firsts.values()}
    return sorted((config for config in gmacs if gmacs[config] <= most_gmacs), key=gmacs.__getitem__)


def export(config: str, folder: Path) -> None:
    """An ONNX export of the config's network in float, with random weights and biases."""
    import paddle

    from ppose.engine.task import Task
    from ppose.export.export import Options, export_model
    from ppose.workspace import load_config

    paddle.seed(0)
    weights = folder.with_suffix(".pdparams")
    task = Task(load_config(config, [f"weights={weights}"]))
    model = task.model()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.set_value(0.1 * paddle.randn(parameter.shape))
    paddle.save(model.state_dict(), str(weights))
    export_model(task, config, folder, Options(format="onnx"))


def measure(folder: Path, threads: int) -> float:
    """Milliseconds of one person at the median."""
    from ppose.inference.benchmark import Contender, make_scenes
    from ppose.inference.benchmark import measure as measure_all

    contender = Contender(folder, _RUNTIME, cpu_threads=threads)
    (result,) = measure_all([contender], make_scenes(64), rounds=_ROUNDS, batches=_BATCHES)
    if isinstance(result, Exception):
        raise result
    return result.p50


def describe_run(threads: int) -> str:
    """Where and when the figures were measured."""
    from importlib import metadata

    from ppose.processor import processor_flags, processor_name

    kinds = {"avx512_vnni": "AVX512, VNNI", "avx512f": "AVX512", "avx2": "AVX2"}
    kind = next((text for flag, text in kinds.items() if flag in processor_flags()), "without AVX2")
    runtime = f"OpenVINO {metadata.version(_RUNTIME)}"
    return f"{processor_name()} ({kind}), {threads} threads, {runtime}, {time.strftime('%Y-%m-%d')}"


if __name__ == "__main__":
    run(main)
