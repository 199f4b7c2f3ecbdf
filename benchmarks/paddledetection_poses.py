"""PaddleDetection's part of benchmarks/paddledetection.py; runs in a Python with its requirements.

Runs image by image, as topdown_unite_predict of its deploy/python/det_keypoint_unite_infer.py does, with
boxes from a file instead of a detector. Prints seconds, and the people: image, keypoints, score.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("code", help="PaddleDetection's deploy/python")
    parser.add_argument("model_dir")
    parser.add_argument("people", help="JSON: file and boxes (left, top, right, bottom) of each image")
    parser.add_argument("output_dir")
    parser.add_argument("work", choices=("poses", "folder"))
    args = parser.parse_args()
    sys.path.insert(0, args.code)
    os.makedirs(args.output_dir, exist_ok=True)
    import infer
    from keypoint_infer import KeyPointDetector
    from keypoint_postprocess import translate_to_ori_images
    from preprocess import decode_image
    from visualize import visualize_pose

    infer.create_predictor = open_json(infer.create_predictor)
    detector = KeyPointDetector(args.model_dir, batch_size=8, cpu_threads=2, enable_mkldnn=True)

    def predict(file: str, boxes: list) -> list:
        image, _ = decode_image(file, {})
        rows = np.concatenate([np.tile([0.0, 1.0], (len(boxes), 1)), boxes], axis=1)
        crops, records, rects = detector.get_person_from_rect(image, {"boxes": rows})
        if not crops:
            return []
        found = detector.predict_image(crops, visual=False)
        keypoints, scores = translate_to_ori_images(found, np.array(records))
        if args.work == "folder":
            shown = {"keypoint": [keypoints.tolist(), scores.tolist()], "bbox": rects}
            visualize_pose(file, shown, visual_thresh=0.5, save_dir=args.output_dir)
        name, found = os.path.basename(file), zip(keypoints, scores, strict=True)
        return [[name, np.ravel(triplets).tolist(), float(np.ravel(score)[0])] for triplets, score in found]

    with open(args.people) as file:
        images = json.load(file)
    for file, boxes in images[:3]:  # compiles
        predict(file, boxes)
    start = time.perf_counter()
    people = [person for file, boxes in images for person in predict(file, boxes)]
    print(json.dumps({"seconds": time.perf_counter() - start, "people": people}))


def open_json(create_predictor: Callable) -> Callable:
    """Extend create_predictor to exports of Paddle 3, since the checkout may be older."""

    def open_it(config: Any) -> Any:
        config.enable_new_executor()
        config.enable_new_ir(True)
        return create_predictor(config)

    return open_it


if __name__ == "__main__":
    main()
