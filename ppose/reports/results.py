"""Reads results files in COCO's format."""

from pathlib import Path

import numpy as np

from ppose.annotations import Annotations, match_key
from ppose.errors import DataError
from ppose.files import read_json
from ppose.keypoints import KeypointSet
from ppose.metrics.coco_evaluation import FoundPeople, number_images
from ppose.paths import show_name


def read_results(path: str | Path, annotations: Annotations, keypoint_set: KeypointSet) -> FoundPeople:
    """The people of a results file: a list of {"image_id", "keypoints" (x, y, score)..., "score"}.

    Raises DataError that names the wrong entry, and for images that are not annotated.
    """
    where, entries = show_name(path), read_json(path, "results file")
    if not isinstance(entries, list):
        raise DataError(f"{where}: expected a list of results in COCO's format")
    number = number_images(annotations)
    count = 3 * keypoint_set.num_keypoints
    images, triplets, scores = [], np.zeros((len(entries), count)), np.zeros(len(entries))
    for index, entry in enumerate(entries):
        try:
            image, scores[index], triplets[index] = entry["image_id"], entry["score"], entry["keypoints"]
            images.append(number.get(match_key(image), -1))
        except (TypeError, KeyError, ValueError):
            raise DataError(
                f"{where}: [{index}]: expected image_id, score and {count} numbers in keypoints (x, y, score "
                f"of the {keypoint_set.num_keypoints} of '{keypoint_set.name}')"
            ) from None
        if images[-1] < 0:
            raise DataError(f"{where}: [{index}]: the image {image!r} is not annotated")
    if not (np.isfinite(triplets).all() and np.isfinite(scores).all()):
        raise DataError(f"{where}: keypoints and scores are not all finite")
    points = triplets.reshape(len(entries), keypoint_set.num_keypoints, 3)
    return FoundPeople(np.array(images, np.int64), points[..., :2].copy(), points[..., 2].copy(), scores)
