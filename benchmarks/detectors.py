"""Accuracy and time of person detectors: AP of their boxes on annotated images.

    python benchmarks/detectors.py --data DIR [--tiles 2x2] [--runtime onnxruntime] DETECTOR ...

DIR has `images` and `annotations/person_keypoints.json`, in COCO's format. Prints a line for each detector:
AP of boxes by pycocotools (category person, scores from 0.01 on), AP of small people, milliseconds an image
(median, without reading it), and the number of boxes with a score of 0.5 or more and of the right ones among
them (IoU above 0.5, each annotated person once, without crowds).
"""

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tqdm import tqdm

from ppose.geometry import bbox_xywh_to_xyxy, bbox_xyxy_to_xywh
from ppose.inference.detectors import Detections
from ppose.inference.detectors.choice import open_detector
from ppose.inference.detectors.tiles import TiledDetector
from ppose.metrics.iou import ious
from ppose.options import read_tiles
from ppose.processor import processor_name
from ppose.transforms import read_image

LOWEST_SCORE, SHOWN_SCORE = 0.01, 0.5
HEADER = f"{'detector':34}{'AP':>7}{'small':>7}{'ms':>7}{'boxes':>7}{'right':>7}"


def find_people(
    detect: Callable[[list[np.ndarray]], list[Detections]], truth: COCO, images: Path
) -> tuple[dict[int, Detections], float]:
    """The people of each image by its id, and the median of milliseconds an image."""
    found, seconds = {}, []
    for image_id in tqdm(truth.getImgIds(), leave=False, disable=None):
        image = read_image(images / truth.imgs[image_id]["file_name"])
        start = time.perf_counter()
        found[image_id] = detect([image])[0]
        seconds.append(time.perf_counter() - start)
    return found, 1000 * statistics.median(seconds)


def measure_ap(truth: COCO, found: dict[int, Detections], person: int) -> tuple[float, float]:
    """AP of all people, and of small ones (less than 32 x 32 pixels), by pycocotools."""
    entries: list[dict[str, Any]] = [
        {"image_id": image_id, "category_id": person, "bbox": box, "score": score}
        for image_id, each in found.items()
        for box, score in zip(bbox_xyxy_to_xywh(each.bboxes_xyxy).tolist(), each.scores.tolist(), strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(entries), "bbox")
        evaluation.params.catIds = [person]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[3])


def count_right(truth: COCO, found: dict[int, Detections], person: int) -> tuple[int, int]:
    """The numbers of boxes with a score that commands show, and of the right ones among them."""
    boxes = right = 0
    for image_id, each in found.items():
        ids = truth.getAnnIds(image_id, person, iscrowd=False)
        left = np.array([truth.anns[i]["bbox"] for i in ids], float).reshape(-1, 4)
        left = bbox_xywh_to_xyxy(left)
        for box in each.bboxes_xyxy[each.scores >= SHOWN_SCORE]:
            boxes += 1
            iou = ious(box[None], left)[0]
            if len(left) and iou.max() > 0.5:
                right += 1
                left = np.delete(left, iou.argmax(), axis=0)
    return boxes, right


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("detectors", nargs="+", metavar="DETECTOR", help="folder or file")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--tiles", type=read_tiles, metavar="2x2")
    parser.add_argument("--runtime", choices=["onnxruntime", "openvino"], help="of ONNX files")
    parser.add_argument("--cpu_threads", type=int, metavar="N")
    args = parser.parse_args()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(args.data / "annotations" / "person_keypoints.json"))
    person = truth.getCatIds(["person"])[0]
    people = len(truth.getAnnIds(catIds=person, iscrowd=False))
    print(f"{len(truth.imgs)} images, {people} people; {processor_name()}")
    print(HEADER)
    for path in args.detectors:
        detector = open_detector(
            path, threshold=LOWEST_SCORE, runtime=args.runtime, cpu_threads=args.cpu_threads
        )
        detect = TiledDetector(detector.detect, *args.tiles).detect if args.tiles else detector.detect
        found, milliseconds = find_people(detect, truth, args.data / "images")
        ap, small = measure_ap(truth, found, person)
        boxes, right = count_right(truth, found, person)
        name = Path(path).name[-33:]
        print(f"{name:34}{ap:7.3f}{small:7.3f}{milliseconds:7.1f}{boxes:7}{right:7}", flush=True)


if __name__ == "__main__":
    main()
