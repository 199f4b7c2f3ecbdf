"""Measures the gain of the export's rewriting and of int8, against the trained network exported unchanged.

    python benchmarks/deployment.py -c configs/lite_hrnet_30_256x192_coco.yml [--throughput] -o weights=...

Exports all variants to a temporary folder, for Paddle and as ONNX, and runs them in turns in every runtime,
one person at a time. "plain" is the trained network layer by layer, "without oneDNN" Paddle with its own
kernels, "int8" quantized by the config's `PTQ` (--depthwise: depthwise convolutions too), with ranges from
noise, on which times do not depend. They do depend on the weights: before training, all biases are equal;
OpenVINO then does not fuse them into the convolutions, and runs activations separately.

--throughput compares OpenVINO with ONNX Runtime on the plain network: one person on all threads, then as many
streams of one thread, in batches of one, two and four people. Ratios are medians of turns, with quartiles, to
the faster of ONNX Runtime in fp32 and int8.

Variants of Lite-HRNet-30 (AMD EPYC with AVX512 and VNNI, OpenVINO 2026.4, fp32, one thread; medians of nine
turns, relative to the exported graph before; other programs ran on the other core):

    kept: the stem as two halves, its shuffle in the weights after it       0.953
    its halves by weights of zero: one map of 48 channels, two of 32        0.985, 0.984
    its halves added, each at its places, not concatenated                  0.951
    gates of 1x1 pixels as Gemm                                             1.02
    a gate's convolution for each branch, no split after it                 1.08 (quartiles 0.97, 1.09)
    the image to channels last by Transpose, not by the runtime             0.986
    the heatmaps from channels last by Transpose; as a matrix product       0.994, 0.976
    the image padded to 4, 8, 16 channels                                   0.990, 1.05, 1.05

With two streams, relative to the kept stem: Transpose at the image and a product at the end 0.98 in fp32; in
int8 Transpose at both ends 1.01, gates by branch 1.03. OpenVINO's profile of 17.2 ms: 1x1 convolutions 8.7,
the larger at 75 to 95 GFLOP/s, presumably near the core's peak; depthwise ones 2.7, sums and products 1.8,
resizing, pooling, splitting and joining 0.6, 0.6, 0.5, 0.4; of 13.9 in int8 4.6, 3.0, 2.4 and the rest as
before. Not tried: depthwise convolutions and gates over only the half that they change; shuffles spread it
over all channels, and gathering these is another pass over the map.
"""

import argparse
import copy
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.commandline import run
from ppose.options import add_config_options

PLAIN, PLAIN_INT8, EXPORTED, INT8 = "plain", "plain, int8", "exported", "int8"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_config_options(parser)
    parser.add_argument("--cpu_threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--depthwise", action="store_true", help="int8 for depthwise convolutions too")
    parser.add_argument("--throughput", action="store_true", help="OpenVINO's streams and ONNX Runtime's")
    args = parser.parse_args()

    from ppose.engine.task import Task
    from ppose.errors import PposeError
    from ppose.inference.benchmark import make_scenes, measure
    from ppose.workspace import load_config

    with tempfile.TemporaryDirectory() as folder:
        task = Task(load_config(args.config, args.overrides))
        how = replace(task.ptq(), depthwise=args.depthwise or task.ptq().depthwise)
        if args.throughput:
            folders = export_all(task, Path(folder), how, (PLAIN, PLAIN_INT8, EXPORTED, INT8), ("onnx",))
            print(
                f"{args.config}, {args.cpu_threads} threads, milliseconds a person, ratio and its quartiles"
            )
            sizes = (1, 2, 4)
            for streams, batch in ((1, 1), *((args.cpu_threads, size) for size in sizes)):
                show_streams(folders, args.cpu_threads, streams, batch, args.rounds)
            return
        folders = export_all(task, Path(folder), how, (PLAIN, EXPORTED, INT8), ("paddle", "onnx"))
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


def export_all(
    task: Any, folder: Path, how: Any, names: Sequence[str], formats: Sequence[Any]
) -> dict[str, Path]:
    """Write the exports of these names, int8 by `PTQ` ``how``; print the operators and bytes of each."""
    import paddle

    from ppose.engine.load import load_trained
    from ppose.export import export
    from ppose.quantization.calibrate import quantize_network

    trained = load_trained(task)
    width, height = task.codec.input_size
    quantized = quantize_network(trained, [paddle.randn([2, 3, height, width])], how)
    folders = {name: folder / name.replace(", ", "_") for name in names}
    for name, path in folders.items():
        network = quantized if name in (INT8, PLAIN_INT8) else trained
        # The export changes the network in place.
        form = copy.deepcopy if name in (PLAIN, PLAIN_INT8) else export.deploy_form
        for kind in formats:
            options = export.Options(format=kind)
            with mock.patch.object(export, "deploy_form", form):
                report = export.export_model(task, path.name, path, options, trained=network)
            exported = ", ".join(f"{key} {n}" for key, n in report.operators.items() if key != "trained")
            print(f"{name}, operators: {exported}; {report.size / 1e6:.1f} MB in {report.seconds:.0f} s")
    return folders


def show_streams(folders: dict[str, Path], threads: int, streams: int, batch: int, rounds: int) -> None:
    """Run each export of `export_all` in its runtime with ``streams`` streams, in turns, and print times."""
    from ppose.inference.tuning.processes import Processes
    from ppose.inference.tuning.settings import Settings

    runtimes = {PLAIN: "onnxruntime", PLAIN_INT8: "onnxruntime", EXPORTED: "openvino", INT8: "openvino"}
    seconds: dict[str, list[float]] = {name: [] for name in runtimes}
    with Processes() as bench:
        contenders = {
            name: Settings(folders[name], runtime, "fp32", "", threads, streams, batch)
            for name, runtime in runtimes.items()
        }
        for settings in contenders.values():
            bench.open(settings)
        for turn in range(rounds):
            for name in sorted(contenders, reverse=bool(turn % 2)):
                seconds[name].append(bench.run(contenders[name]))
    base = seconds[min((PLAIN, PLAIN_INT8), key=lambda name: statistics.median(seconds[name]))]
    print(f"  streams: {streams}, batches of {batch}")
    for name, of_name in seconds.items():
        low, middle, high = statistics.quantiles((a / b for a, b in zip(of_name, base, strict=True)), n=4)
        shown = f"{1000 * statistics.median(of_name):7.2f}  {middle:.2f} ({low:.2f} to {high:.2f})"
        print(f"    {name + ', ' + runtimes[name]:26}{shown}")


def make_contenders(folders: dict[str, Path], threads: int) -> dict[str, Any]:
    """Return the contenders by their names in the table."""
    from ppose.inference.benchmark import Contender

    contenders = {
        "plain, paddle without oneDNN": Contender(
            folders[PLAIN], "paddle", cpu_threads=threads, options={"enable_mkldnn": False}
        )
    }
    for name, path in folders.items():
        for runtime in ("paddle", "onnxruntime", "openvino"):
            contenders[f"{name}, {runtime}"] = Contender(path, runtime, cpu_threads=threads)
    for name in (EXPORTED, INT8):
        contenders[f"{name}, openvino, bf16"] = Contender(
            folders[name], "openvino", precision="bf16", cpu_threads=threads
        )
    return contenders


if __name__ == "__main__":
    run(main)
