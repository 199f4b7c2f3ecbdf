"""COCO's ten numbers by pycocotools itself, which judges ours, and results that are hard to judge."""

import contextlib
import copy
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

METRIC_NAMES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")


def judge(content, results, sigmas):
    """The numbers by name for the content of an annotation file, which is COCO's to the letter."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth, nobody = COCO(), COCO()
        truth.dataset = copy.deepcopy(content)
        truth.createIndex()
        nobody.dataset = {**truth.dataset, "annotations": []}  # loadRes fails on an empty list
        nobody.createIndex()
        # Without a box, which would change how the rest is read; all categories count as one.
        people = [{key: result[key] for key in ("image_id", "keypoints", "score")} for result in results]
        found = truth.loadRes([{"category_id": 1, **person} for person in people]) if people else nobody
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(METRIC_NAMES, map(float, evaluation.stats), strict=True))


def disturb(content, seed):
    """Results for people of 17 keypoints: noise, equal scores, doubles, missing and too many in an image."""
    rng = np.random.default_rng(seed)
    results = []
    for person in content["annotations"] * 2:
        if person["keypoints"] and rng.random() < 0.8:
            triplets = np.array(person["keypoints"], float).reshape(17, 3)
            triplets[:, :2] += rng.normal(0, rng.choice([2, 10, 40]), (17, 2))
            score = float(rng.integers(0, 5)) / 5
            results.append(
                {"image_id": person["image_id"], "keypoints": triplets.ravel().tolist(), "score": score}
            )
    return results
