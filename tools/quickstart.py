"""From nothing to poses on pictures: draws people, trains, evaluates, exports and deploys, step by step."""

import argparse
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tqdm import tqdm

from ppose.commandline import run
from ppose.errors import PposeError
from ppose.options import add_config_options
from ppose.workspace import load_config

ROOT = Path(__file__).resolve().parent.parent

_STEP = re.compile(r" epoch (\d+)/(\d+) step (\d+)/(\d+) loss (\S+) .* (\S+) images/s ")


class StepError(PposeError, RuntimeError):
    """A step of the quickstart has failed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_options(parser)
    parser.add_argument("--images", type=int, default=0, help="training images to draw (default: none)")
    parser.add_argument(
        "--val_images", type=int, default=200, help="evaluation images (default: %(default)s)"
    )
    parser.add_argument(
        "--output_dir",
        default="output_inference",
        metavar="DIR",
        help="folder of the export (default: %(default)s)",
    )
    parser.add_argument("--processes", type=int, default=2, help="training processes (default: %(default)s)")
    args = parser.parse_args()
    begin = time.monotonic()
    cfg = load_config(args.config, args.overrides)
    name = Path(args.config).stem
    output, data = Path(cfg["save_dir"]) / name, Path(cfg["EvalDataset"]["dataset_dir"])
    log = output / "log" / "quickstart.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    config = ["-c", args.config, *(["-o", *args.overrides] if args.overrides else [])]
    exported = Path(args.output_dir) / name

    _run(
        log, "dataset/make_synthetic.py", "--output", data.parent, "--images", args.images,
        "--val_images", args.val_images, "--most_people", 2, "--variety", 0.25,
    )  # fmt: skip
    _train(log, output, args.processes, config)
    _run(log, "tools/eval.py", *config)
    _run(log, "tools/export_model.py", *config, "--output_dir", args.output_dir)
    _run(
        log, "deploy/infer.py", "--model_dir", exported, "--image_dir", data / "images",
        "--boxes", data / "annotations.json", "--output_dir", output / "deployed",
    )  # fmt: skip
    print(_describe_result(output, exported, time.monotonic() - begin))


def _run(log: Path, *arguments: object) -> None:
    """Run a script, show its command and its output; its notes go to the log."""
    command = _show(arguments)
    with log.open("ab") as notes:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=notes, text=True)
    print(done.stdout, end="", flush=True)
    _check(done.returncode, arguments[0], log)


def _train(log: Path, output: Path, processes: int, config: list[str]) -> None:
    """Train in several processes, and show one line of progress from their log."""
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", processes, "--log_dir", output / "log"]
    command = _show((*launch, "tools/train.py", *config, "--eval"))
    train_log = output / "log" / "train.log"
    train_log.unlink(missing_ok=True)
    with log.open("ab") as notes, tqdm(unit="step", desc="training", disable=None) as bar:
        launcher = subprocess.Popen(command, cwd=ROOT, stdout=notes, stderr=notes)
        try:
            while launcher.poll() is None:
                time.sleep(0.5)
                _show_progress(bar, train_log)
        finally:
            launcher.wait()
    _check(launcher.returncode, "tools/train.py", output / "log" / "workerlog.0")
    print(train_log.read_text(encoding="utf-8").splitlines()[-1].split(" ", 2)[2], flush=True)


def _show_progress(bar: tqdm, train_log: Path) -> None:
    steps = list(_read_steps(train_log))
    if steps:
        epoch, epochs, step, steps_per_epoch, loss, rate = steps[-1]
        bar.total = int(epochs) * int(steps_per_epoch)
        bar.set_postfix(loss=f"{float(loss):.4f}", images_s=rate, refresh=False)
        bar.update((int(epoch) - 1) * int(steps_per_epoch) + int(step) - bar.n)


def _read_steps(train_log: Path) -> Iterator[tuple[str, ...]]:
    """epoch, epochs, step, steps per epoch, loss and images/s of each training line."""
    text = train_log.read_text(encoding="utf-8") if train_log.is_file() else ""
    return (match.groups() for match in _STEP.finditer(text))


def _show(arguments: tuple[object, ...]) -> list[str]:
    words = [str(argument) for argument in arguments]
    print(f"\n$ python {shlex.join(words)}", flush=True)
    return [sys.executable, *words]


def _check(code: int, what: object, log: Path) -> None:
    if code:
        said = log.read_text(encoding="utf-8", errors="replace").strip() if log.is_file() else ""
        last = said.splitlines()[-1] if said else "no message"
        raise StepError(f"{what} ended with exit code {code}: {last} (see {log})")


def _describe_result(output: Path, exported: Path, seconds: float) -> str:
    pictures = sorted((output / "deployed").glob("*.jpg"))
    minutes, rest = divmod(round(seconds), 60)
    return f"""
Done in {minutes} min {rest} s.
  trained network:   {output / "best_model.pdparams"}
  exported network:  {exported}
  {len(pictures)} pictures:      {output / "deployed"}, such as {pictures[0].name}
  log:               {output / "log"}

Next:
  your own image, with the exported network (it knows only drawn people):
    python deploy/infer.py --model_dir {exported} --image_file photo.jpg
  a published network and detector, for photographs:
    ppose predict photo.jpg
  your own data, labelled in COCO's format (docs/tutorials/own_keypoints.md for other keypoints):
    python tools/train.py -c configs/lite_hrnet_18_256x192_coco.yml --eval -o \\
      TrainDataset.dataset_dir=DIR EvalDataset.dataset_dir=DIR"""


if __name__ == "__main__":
    run(main)
