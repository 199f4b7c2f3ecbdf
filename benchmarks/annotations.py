"""Time and memory to read annotations, against `json.load`, for a file of the size of COCO's train2017.

    python benchmarks/annotations.py [--people 149813] [--file made.json]

Makes the file (people with and without keypoints, polygons as in COCO) if it does not exist, then reads it in
separate processes that take turns: with `json.load` and with `read_annotations`. Prints the medians of time
and peak memory, and the processor's name.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.processor import processor_name

ROOT = Path(__file__).resolve().parent.parent
PEOPLE_PER_IMAGE = 2.3
UNLABELLED = 112_652 / 149_813  # train2017's people without keypoints for one with keypoints
IMAGES_WITHOUT = 54_172 / 149_813

_MEASURE = """
import json, resource, sys, time
start = time.perf_counter()
if sys.argv[1] == "json.load":
    with open(sys.argv[2]) as file:
        content = json.load(file)
else:
    from ppose.annotations import read_annotations
    from ppose.keypoints import get_keypoint_set
    keypoint_set = get_keypoint_set("coco17")
    start = time.perf_counter()
    annotations = read_annotations(sys.argv[2], keypoint_set)
    print(len(annotations.people.used), file=sys.stderr)
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write_annotations(path: Path, people: int) -> None:
    """Write a file like person_keypoints_train2017.json with this number of people with keypoints."""
    rng = np.random.default_rng(0)
    with_people = int(people / PEOPLE_PER_IMAGE)
    images = [
        {
            "license": 3, "file_name": f"{i:012d}.jpg", "coco_url": f"http://images.cocodataset.org/{i:012d}.jpg",
            "height": 480, "width": 640, "date_captured": "2013-11-14 11:18:45", "id": i,
        }
        for i in range(1, with_people + int(people * IMAGES_WITHOUT) + 1)
    ]  # fmt: skip
    annotations = []
    for number in range(people + int(people * UNLABELLED)):
        x, y, width, height = (rng.random(4) * [400, 200, 240, 280]).round(2).tolist()
        labelled = number < people
        points = (rng.random((17, 2)) * [width, height] + [x, y]).round().astype(int)
        flags = rng.integers(0, 3, 17) if labelled else np.zeros(17, int)
        flags[0] = 2 if labelled else 0
        triplets = np.column_stack([points, flags]) * (flags > 0)[:, None]
        annotations.append(
            {
                "segmentation": [(rng.random(int(rng.integers(10, 60)) * 2) * 400).round(2).tolist()],
                "num_keypoints": int((flags > 0).sum()), "area": round(width * height * 0.6, 4), "iscrowd": 0,
                "keypoints": triplets.ravel().tolist(), "image_id": int(rng.integers(1, with_people + 1)),
                "bbox": [x, y, width, height], "category_id": 1, "id": number + 1,
            }
        )  # fmt: skip
    names = ["nose", *(f"{s}_{n}" for n in ("eye", "ear") for s in ("left", "right"))]
    limbs = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    names += [f"{side}_{limb}" for limb in limbs for side in ("left", "right")]
    categories = [{"supercategory": "person", "id": 1, "name": "person", "keypoints": names}]
    with path.open("w") as file:
        json.dump({"images": images, "annotations": annotations, "categories": categories}, file)


def measure(way: str, path: Path) -> tuple[float, float]:
    """Seconds and peak MB of reading in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-c", _MEASURE, way, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, memory = map(float, result.stdout.split())
    return seconds, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=149_813)
    parser.add_argument("--file", type=Path, default=ROOT / "output" / "benchmarks" / "annotations.json")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    if not args.file.exists():
        args.file.parent.mkdir(parents=True, exist_ok=True)
        write_annotations(args.file, args.people)
    print(f"{processor_name()}; {args.file.stat().st_size / 1e6:.0f} MB")
    ways: dict[str, list[tuple[float, float]]] = {"json.load": [], "read_annotations": []}
    for _ in range(args.turns):
        for way, found in ways.items():
            found.append(measure(way, args.file))
    for way, found in ways.items():
        seconds, memory = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{way:<18}{seconds:7.2f} s{memory:8.0f} MB")


if __name__ == "__main__":
    main()
