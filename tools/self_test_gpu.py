"""Tests what was never run where ppose was developed: GPUs, TensorRT, NCCL, Docker. Prints a report.

Trains a small network on drawn people on the GPU, exports it, and compares its poses with those of the CPU.
Everything goes to a temporary folder; only Docker downloads anything. Please send in the report.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

import ppose
from ppose.commandline import run
from ppose.errors import PposeError

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "synthetic_pose_resnet.yml"
NAME = CONFIG.stem
# Largest distance of keypoints from the CPU's, in pixels of 320x256 pictures, for nine people in ten.
_TOLERANCES = {"fp32": 0.05, "fp16": 0.5, "int8": 2.0}


class CheckError(PposeError, RuntimeError):
    """A check has failed."""


class SkippedError(PposeError, RuntimeError):
    """A check cannot run on this machine."""


@dataclass(frozen=True)
class Bench:
    """The environment of the checks: their folder, and the number of GPUs."""

    folder: Path
    gpus: int

    def call(self, *arguments: object) -> str:
        """Run a script of the repository, or a module with `-m`; CheckError with the end of its output."""
        words = [sys.executable, *map(str, arguments)]
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, errors="replace")
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
            raise CheckError(f"exit code {done.returncode}: {' / '.join(said[-3:])}")
        return done.stdout

    def train(self, name: str, launch: tuple[object, ...] = (), *options: object) -> str:
        """Train for an epoch into a folder of that name; return the first and the last loss."""
        keys = [
            "use_gpu=true",
            "epoch=1",
            "snapshot_epoch=1",
            "log_iter=1",
            "use_vdl=false",
            f"save_dir={name}",
        ]
        self.call(*launch, ROOT / "tools" / "train.py", "-c", CONFIG, "--eval", "-o", *keys, *options)
        lines = (self.folder / name / NAME / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        steps = [record for record in map(json.loads, lines) if "loss" in record]
        if not steps or not np.isfinite([record["loss"] for record in steps]).all():
            raise CheckError("the loss is not finite" if steps else "no step was logged")
        return f"loss {steps[0]['loss']:.5f} -> {steps[-1]['loss']:.5f} in {len(steps)} steps"

    def find_poses(self, model: Path, output: str, *options: object) -> np.ndarray:
        """Predict the keypoints (N, K, 2) of the drawn people with an exported model."""
        data = self.folder / "dataset" / "synthetic" / "val"
        self.call(
            ROOT / "deploy" / "infer.py", "--model_dir", model, "--image_dir", data / "images",
            "--boxes", data / "annotations.json", "--save_json", "--output_dir", output, *options,
        )  # fmt: skip
        records = json.loads((self.folder / output / "keypoints.json").read_text(encoding="utf-8"))
        return np.array([np.reshape(record["keypoints"], (-1, 3))[:, :2] for record in records])

    def compare(self, model: Path, precision: str, *options: object) -> str:
        """Compare poses on the GPU with those of Paddle on the CPU, person by person."""
        cpu = self.find_poses(model, f"cpu_{precision}", "--runtime", "paddle")
        gpu = self.find_poses(model, f"gpu_{precision}", "--device", "gpu", *options)
        distances = np.linalg.norm(gpu - cpu, axis=-1)
        text = f"keypoints off by {np.median(distances):.3f} px (median), {distances.max():.3f} px (worst)"
        if not np.quantile(distances, 0.9) <= _TOLERANCES[precision]:
            raise CheckError(f"{text}; expected nine of ten within {_TOLERANCES[precision]} px")
        return text


def check_train(bench: Bench) -> str:
    """Train on one GPU, in float32 and in both mixed precisions."""
    said = {"fp32": bench.train("train_fp32")}
    for precision in ("bf16", "fp16"):
        said[precision] = bench.train(f"train_{precision}", (), "worker_num=1", "--amp", precision)
    return "; ".join(f"{precision}: {text}" for precision, text in said.items())


def check_inference(bench: Bench) -> str:
    """Paddle Inference on a GPU in float32."""
    return bench.compare(_export(bench), "fp32", "--runtime", "paddle")


def check_tensorrt_fp16(bench: Bench) -> str:
    """Paddle Inference with TensorRT in fp16."""
    return bench.compare(_export(bench), "fp16", "--run_mode", "trt_fp16")


def check_tensorrt_int8(bench: Bench) -> str:
    """An int8 export with TensorRT."""
    weights = _weights(bench)
    bench.call(
        ROOT / "tools" / "quantize.py", "-c", CONFIG, "--calib_dataset", "EvalDataset", "--format", "paddle",
        "-o", f"weights={weights}",
    )  # fmt: skip
    model = bench.folder / "output_inference" / f"{NAME}_int8"
    return bench.compare(model, "int8", "--run_mode", "trt_int8")


def check_onnxruntime(bench: Bench) -> str:
    """ONNX Runtime on a GPU."""
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise SkippedError("onnxruntime-gpu is not installed")
    return bench.compare(_export(bench, "onnx"), "fp32", "--runtime", "onnxruntime")


def check_nccl(bench: Bench) -> str:
    """Train on two GPUs, with shared batch norms."""
    if bench.gpus < 2:
        raise SkippedError(f"needs two GPUs, {bench.gpus} found")
    launch = ("-m", "paddle.distributed.launch", "--gpus", "0,1")
    return bench.train("train_nccl", launch, "sync_bn=true")


def check_docker(bench: Bench) -> str:
    """Build the server's image, and run it with --help."""
    if shutil.which("docker") is None:
        raise SkippedError("docker is not installed")
    tag = "ppose-self-test"
    for words in (
        ["docker", "build", "-f", "deploy/docker/Dockerfile", "-t", tag, "."],
        ["docker", "run", "--rm", "--network", "none", tag, "--help"],
        ["docker", "image", "rm", tag],
    ):
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, errors="replace")
        if done.returncode:
            raise CheckError(f"{' '.join(words[:2])}: {' / '.join(done.stderr.strip().splitlines()[-3:])}")
    return "built, run, removed"


CHECKS: dict[str, Callable[[Bench], str]] = {
    "train": check_train,
    "inference": check_inference,
    "tensorrt_fp16": check_tensorrt_fp16,
    "tensorrt_int8": check_tensorrt_int8,
    "onnxruntime": check_onnxruntime,
    "nccl": check_nccl,
    "docker": check_docker,
}
WITHOUT_GPU = ("docker",)


def _weights(bench: Bench) -> Path:
    """The weights of a network trained on the GPU; those of `check_train` if it has run."""
    weights = bench.folder / "train_fp32" / NAME / "model_final.pdparams"
    if not weights.is_file():
        bench.train("train_fp32")
    return weights


def _export(bench: Bench, form: str = "paddle") -> Path:
    script = ROOT / "tools" / "export_model.py"
    bench.call(script, "-c", CONFIG, "--format", form, "-o", f"weights={_weights(bench)}")
    return bench.folder / "output_inference" / NAME


def count_gpus() -> int:
    """The number of GPUs that Paddle can use."""
    import paddle

    return paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0


def describe_machine() -> list[str]:
    """Versions, processor and GPUs, one line each."""
    import paddle

    lines = [f"ppose {ppose.__version__}, Paddle {paddle.__version__}, CUDA {paddle.version.cuda()}"]
    lines += [f"TensorRT {paddle.version.tensorrt()}, cuDNN {paddle.version.cudnn()}"]
    lines += [f"Python {platform.python_version()}, {platform.platform()}"]
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        lines += subprocess.run(query, capture_output=True, text=True).stdout.splitlines()
    return lines


def run_check(name: str, bench: Bench) -> tuple[str, str, float]:
    """Run a check; return its result ("passed", "failed", "skipped"), its text, and its seconds."""
    begin = time.monotonic()
    try:
        state, said = "passed", CHECKS[name](bench)
    except SkippedError as error:
        state, said = "skipped", str(error)
    except (CheckError, OSError, ValueError, KeyError) as error:
        state, said = "failed", f"{error}"
    return state, said, time.monotonic() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", choices=CHECKS, default=list(CHECKS), help="checks to run (default: all)"
    )
    names = parser.parse_args().only
    gpus = count_gpus()
    if gpus == 0 and set(names) - set(WITHOUT_GPU):
        raise CheckError(
            "Paddle finds no GPU here (requirements-gpu.txt has its build); --only docker needs none"
        )
    print("ppose self test\n", *describe_machine(), sep="\n")
    with tempfile.TemporaryDirectory(prefix="ppose_self_test_") as folder:
        bench = Bench(Path(folder), gpus)
        if set(names) - set(WITHOUT_GPU):
            drawing = ["--images", "64", "--val_images", "16", "--most_people", "1", "--variety", "0.25"]
            bench.call(ROOT / "dataset" / "make_synthetic.py", *drawing)
        states = []
        for name in names:
            state, said, seconds = run_check(name, bench)
            print(f"\n{name}: {state} ({seconds:.0f} s)\n  {said}", flush=True)
            states.append(state)
    print()
    print(*(f"{states.count(state)} {state}" for state in ("passed", "failed", "skipped")), sep=", ")
    if "failed" in states or "passed" not in states:
        sys.exit(1)


if __name__ == "__main__":
    run(main)
