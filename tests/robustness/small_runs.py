"""Small runs of the real commands, of one to ten seconds each, and their inputs."""

import json
from pathlib import Path

import cv2
import numpy as np
from runs import data_overrides
from video_clips import write_clip

from ppose.data.synthetic import write_dataset
from ppose.engine.task import Task
from ppose.weights.checkpoint import save_weights
from ppose.workspace import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "naive_lite_hrnet_18_256x192_coco.yml"
_SMALL = (
    "LiteHRNet.network_type=lite_8", "width=40", "trainsize=[64,64]", "hmsize=[16,16]", "batch_size=2",
    "log_iter=1", "snapshot_epoch=1",
)  # fmt: skip


_IN = ["--image_dir", "IN/images", "--output_dir", "OUT", "--save_json", "--cpu_threads", "1"]
_EXPORT = ["--output_dir", "OUT", "-c", "CONFIG"]
# The commands; IN is the folder `place`, OUT their output.
COMMANDS = {
    "train": ["train", "-c", "CONFIG", "--eval", "worker_num=1", "epoch=3", "save_dir=OUT"],
    "eval": ["eval", "-c", "CONFIG", "--json", "OUT/ap.json", "worker_num=1", "save_dir=OUT"],
    "infer": ["infer", "-c", "CONFIG", "--infer_dir", "IN/images", "--output_dir", "OUT"],
    "export paddle": ["export", *_EXPORT],
    "export onnx": ["export", *_EXPORT, "--format", "onnx"],
    "export decoding": ["export", *_EXPORT, "--decode_in_graph"],
    "quantize paddle": ["quantize", *_EXPORT, "--calib_dir", "IN/images", "--calib_images", "8"],
    "quantize onnx": [
        *("quantize", *_EXPORT, "--format", "onnx", "--calib_dir", "IN/images", "--calib_images", "8"),
    ],
    "images paddle": ["predict", "--model_dir", "MODEL", "--runtime", "paddle", *_IN],
    "images openvino": ["predict", "--model_dir", "MODEL", "--runtime", "openvino", *_IN],
    "video onnxruntime": [
        *("predict", "--model_dir", "MODEL", "--runtime", "onnxruntime", "--video_file", "IN/clip.mp4"),
        *_IN[2:],
    ],
    "batch": [
        *("batch", "--input", "IN/images", "--output_dir", "OUT", "--model_dir", "MODEL"),
        *("--images_per_part", "5"),
    ],
    "batch ray": [
        *("batch", "--input", "IN/images", "--output_dir", "OUT", "--model_dir", "MODEL", "--engine", "ray"),
        *("--images_per_part", "5", "--concurrency", "1"),
    ],
    "tune": ["tune", "MODEL", "--seconds", "4", "--json", "OUT/choice.json"],
    "synthesize": ["synthesize", "--output", "OUT", "--images", "40", "--val_images", "8", "--workers", "2"],
    "benchmark": [
        "benchmark",
        "--model_dir",
        "MODEL",
        "--runtime",
        "onnxruntime,paddle",
        "--json",
        "OUT/times.json",
    ],
    "convert": ["convert", "IN/coco/annotations.json", "OUT/labels.csv"],
    "check": ["check", "IN/coco/annotations.json", "--image_dir", "IN/coco/images", "--output_dir", "OUT"],
    "report": ["report", "IN/run", "--output", "OUT/report.html"],
    "analyse_errors": [
        "analyse_errors",
        "IN/results.json",
        "--dataset",
        "CONFIG",
        "--output",
        "OUT/errors.html",
    ],
    "weights": ["weights", "convert", "IN/weights.pdparams", "--output", "OUT/weights.safetensors"],
}


def fill_place(folder: Path) -> None:
    """Write all inputs of the commands."""
    write_dataset(folder / "coco", 8, 0)
    cfg = load_config(CONFIG, [*_SMALL, *data_overrides(folder / "coco")])
    save_weights(Task(cfg).model(), folder / "weights.pdparams")
    rng = np.random.default_rng(0)
    images = [cv2.resize(rng.integers(0, 255, (9, 12, 3), np.uint8), (640, 480)) for _ in range(60)]
    write_clip(folder / "clip.mp4", images)
    (folder / "images").mkdir()
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), image)
    coco = json.loads((folder / "coco" / "annotations.json").read_text())
    people = [{**person, "score": 0.5} for person in coco["annotations"]]
    (folder / "results.json").write_text(json.dumps(people))
    (folder / "run").mkdir()
    for file, content in (
        ("config.yml", "epoch: 1\n"),
        ("run.json", '{"seed": 3, "measure": "AP", "paddle": "3.2.2"}'),
    ):
        (folder / "run" / file).write_text(content)
    lines = [
        {"epoch": 1, "step": step, "loss": 0.1, "lr": 0.1, "images_per_s": 9, "step_time": 0.1}
        for step in (1, 2)
    ]
    (folder / "run" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def make_arguments(name: str, place: Path, model_dir: Path) -> list[str]:
    """Return a command's arguments, still with OUT for its output."""
    arguments = []
    for text in COMMANDS[name]:
        text = text.replace("IN/", f"{place}/").replace("MODEL", str(model_dir))
        if text == "CONFIG":
            arguments.append(str(CONFIG))
        else:
            arguments.append(text)
    if "CONFIG" in COMMANDS[name]:
        overrides = [*_SMALL, *data_overrides(place / "coco"), f"weights={place}/weights.pdparams"]
        own = [text for text in arguments if "=" in text]
        arguments = [text for text in arguments if "=" not in text]
        arguments += ["-o", *overrides, *own]
    return arguments
