"""Time of `ppose analyse_errors` on results of 50,000 people, and of COCO's numbers, also by pycocotools.

    python benchmarks/error_analysis.py [--people 50000]

Makes annotations (2.3 people an image, about COCO's shares of sizes and labelled keypoints) and noisy
results, some missing, some doubled. Runs the command in a process of its own, without pictures of people.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def write_files(folder: Path, people: int) -> None:
    rng = np.random.default_rng(0)
    images = int(people / 2.3)
    annotations, results = [], []
    for number in range(people):
        width, height = rng.uniform(20, 200), rng.uniform(40, 400)
        x, y = rng.uniform(0, 400), rng.uniform(0, 200)
        points = rng.random((17, 2)) * [width, height] + [x, y]
        seen = np.where(rng.random(17) < 0.65, 2, 0)
        seen[0] = 2
        image = int(rng.integers(1, images + 1))
        annotations.append(
            {
                "id": number + 1, "image_id": image, "category_id": 1, "iscrowd": 0,
                "area": width * height * 0.6, "bbox": [x, y, width, height],
                "num_keypoints": int((seen > 0).sum()),
                "keypoints": np.column_stack([points, seen]).ravel().round(1).tolist(),
            }
        )  # fmt: skip
        for _ in range(rng.choice(3, p=[0.1, 0.8, 0.1])):
            found = points + rng.normal(0, np.sqrt(width * height) * rng.choice([0.02, 0.1]), (17, 2))
            triplets = np.column_stack([found, rng.random(17)]).ravel().round(3).tolist()
            results.append(
                {"image_id": image, "category_id": 1, "keypoints": triplets, "score": float(rng.random())}
            )
    listed = [{"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 640} for i in range(1, images + 1)]
    category = {"id": 1, "name": "person"}
    content = {"images": listed, "annotations": annotations, "categories": [category]}
    (folder / "annotations.json").write_text(json.dumps(content))
    (folder / "results.json").write_text(json.dumps(results))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=50_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, args.people)
        command = [sys.executable, "tools/analyse_errors.py", folder / "results.json"]
        command += ["--dataset", folder / "annotations.json", "--output", folder / "page.html"]
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True)
        print(f"analyse_errors: {time.perf_counter() - start:.1f} s for {args.people:,} people")

        measure_tables(folder)


def measure_tables(folder: Path) -> None:
    """Time COCO's ten numbers only, without reading files: pycocotools' and ours."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from ppose.annotations import read_annotations
    from ppose.keypoints import get_keypoint_set
    from ppose.metrics import evaluate_results

    keypoint_set = get_keypoint_set("coco17")
    annotations = read_annotations(folder / "annotations.json", keypoint_set)
    results = json.loads((folder / "results.json").read_bytes())
    truth = COCO(folder / "annotations.json")
    start = time.perf_counter()
    evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    print(f"pycocotools: {time.perf_counter() - start:.1f} s, AP {evaluation.stats[0]:.6f}")
    start = time.perf_counter()
    table = evaluate_results(annotations, results, keypoint_set)
    print(f"ours: {time.perf_counter() - start:.1f} s, AP {table['AP']:.6f}")


if __name__ == "__main__":
    main()
