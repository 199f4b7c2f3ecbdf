"""People per second and AP, against PaddleDetection's deployment code: same network, boxes and images.

    git clone https://github.com/PaddlePaddle/PaddleDetection
    python -m venv rival && rival/bin/pip install paddlepaddle==3.2.2 "numpy<2" imgaug scipy pyyaml pillow \\
        "opencv-python-headless<4.12" "matplotlib<3.9"
    for format in paddle onnx; do python tools/export_model.py -c configs/tinypose_256x192.yml \\
        -o weights=tinypose_256x192.pdparams --format $format --output_dir $format; done
    python benchmarks/paddledetection.py --checkout PaddleDetection --python rival/bin/python \\
        --model_dir {paddle,onnx}/tinypose_256x192 --image_dir DIR --annotations FILE

PaddleDetection runs in a process and environment of its own (`paddledetection_poses.py`), in Paddle Inference
with oneDNN, two threads and up to 8 people of an image at once, as in its README. "poses" goes from files to
keypoints, image by image; "folder" also writes drawn pictures: PaddleDetection's det_keypoint_unite_infer.py
without its detector, against `ppose predict --image_dir`. They take turns, in reverse order every other
round; figures are medians over rounds, without start-up. AP is for all annotated boxes without flip test; a
person's score is the mean of the keypoints'. docs/benchmarks.md has figures.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.annotations import read_annotations
from ppose.image_files import list_images, read_boxes_and_sizes
from ppose.inference.command import warm_up
from ppose.inference.pose_files import ImageFiles, write_poses
from ppose.inference.predictor import Predictor
from ppose.metrics.coco_evaluation import evaluate_results
from ppose.processor import own_cores, processor_name

_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of its keypoint zoo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkout", type=Path, required=True, help="PaddleDetection's repository")
    parser.add_argument("--python", required=True, help="a Python that has what PaddleDetection needs")
    parser.add_argument("--model_dir", type=Path, nargs="+", required=True, help="exports; first Paddle's")
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--annotations", required=True, help="COCO annotations of these images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=("poses", "folder"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:  # in a process of its own
        print(json.dumps({"poses": run_poses, "folder": run_folder}[args.work](args)))
        return
    print(f"{processor_name()}, {own_cores()} cores; {args.model_dir[0].name}")
    with tempfile.TemporaryDirectory() as folder:
        for work in ("poses", "folder"):
            compare(args, work, Path(folder))


def compare(args: argparse.Namespace, work: str, folder: Path) -> None:
    keypoint_set = Predictor.from_dir(args.model_dir[0]).keypoint_set
    annotations = read_annotations(args.annotations, keypoint_set)
    ids = dict(zip(annotations.images.file_names, annotations.images.ids, strict=True))
    ways: dict[str, Callable[[], Any]] = {"PaddleDetection": partial(ask_theirs, args, work, folder)}
    for model in args.model_dir:
        ways[f"ppose, {model.parent.name}"] = partial(ask_ours, args, work, model)
    spent: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Any] = {}
    for turn in range(args.rounds):
        for name in sorted(ways, reverse=bool(turn % 2)):
            found[name] = ways[name]()
            spent[name].append(found[name]["seconds"] / len(found[name]["people"]))
    print(f"\n{work:18}{'people':>8}{'people/s':>10}{'times':>7}{'range':>14}{'AP':>9}")
    for name, seconds in spent.items():
        times = [theirs / ours for ours, theirs in zip(seconds, spent["PaddleDetection"], strict=True)]
        people = found[name]["people"]
        results = [{"image_id": ids[image], "keypoints": k, "score": s} for image, k, s in people]
        ap = evaluate_results(annotations, results, keypoint_set)["AP"]
        print(
            f"{name:18}{len(people):8}{1 / statistics.median(seconds):10.1f}{statistics.median(times):7.2f}"
            f"{min(times):8.2f}-{max(times):5.2f}{ap:9.4f}"
        )


def ask_ours(args: argparse.Namespace, work: str, model: Path) -> Any:
    command = [sys.executable, __file__, "--checkout", str(args.checkout), "--python", args.python]
    command += ["--image_dir", str(args.image_dir), "--annotations", args.annotations]
    return ask([*command, "--model_dir", str(model), "--work", work])


def ask_theirs(args: argparse.Namespace, work: str, folder: Path) -> Any:
    files, boxes = read_people(args)
    (folder / "people.json").write_text(
        json.dumps([[str(file), rows.tolist()] for file, rows in zip(files, boxes, strict=True) if len(rows)])
    )
    model = write_their_export(args.model_dir[0], folder / "export")
    driver = Path(__file__).with_name("paddledetection_poses.py")
    command = [args.python, str(driver), str(args.checkout / "deploy" / "python"), str(model)]
    return ask([*command, str(folder / "people.json"), str(folder / "pictures"), work])


def ask(command: list[str]) -> Any:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def write_their_export(model: Path, folder: Path) -> Path:
    """The export as PaddleDetection's code reads it: links to the network, and its own infer_cfg.yml."""
    folder.mkdir(exist_ok=True)
    for name in ("model.json", "model.pdiparams"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to((model / name).resolve())
    spec = Predictor.from_dir(model).spec
    steps = [
        {"type": "TopDownEvalAffine", "trainsize": list(spec.input_size)},
        {"type": "NormalizeImage", "mean": _MEAN, "std": _STD, "is_scale": True},
        {"type": "Permute"},
    ]
    text = {"mode": "paddle", "arch": "HRNet", "metric": "COCO", "draw_threshold": 0.5}
    text |= {"min_subgraph_size": 3, "use_dynamic_shape": False, "label_list": ["keypoint"]}
    text |= {"Preprocess": steps}
    (folder / "infer_cfg.yml").write_text(yaml.safe_dump(text, sort_keys=False))
    return folder


def read_people(args: argparse.Namespace) -> tuple[list[Path], Any]:
    files = list_images(args.image_dir)
    return files, read_boxes_and_sizes(args.annotations, files)[0]


def run_poses(args: argparse.Namespace) -> dict[str, Any]:
    predictor = Predictor.from_dir(args.model_dir[0], batch_size=8)
    warm_up(predictor)
    start, people = time.perf_counter(), []
    for file, boxes in zip(*read_people(args), strict=True):
        for pose in predictor(file, boxes) if len(boxes) else []:
            people.append([file.name, pose.to_array().ravel().tolist(), float(pose.scores.mean())])
    return {"seconds": time.perf_counter() - start, "people": people}


def run_folder(args: argparse.Namespace) -> dict[str, Any]:
    predictor = Predictor.from_dir(args.model_dir[0], hint="throughput")
    warm_up(predictor)
    images = ImageFiles(*read_people(args))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_poses(images, predictor, Path(folder), threshold=0.5, save_json=True)
        seconds = time.perf_counter() - start
        found = json.loads((Path(folder) / "keypoints.json").read_text())
    people = [[person["image"], person["keypoints"], person["score"]] for person in found]
    return {"seconds": seconds, "people": people}


if __name__ == "__main__":
    main()
