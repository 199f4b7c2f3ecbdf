"""Warns of people whose annotations are valid but look wrong."""

import numpy as np

from ppose.annotations.people import Images, People

# Areas outside these shares of the box are reported: for 545 people of COCO they are 0.12 to 0.95.
_LEAST_AREA, _MOST_AREA = 0.01, 1.1
_BEYOND_BOX = 0.1  # share of the box's sides by which a keypoint may lie outside


def describe_oddities(people: People, images: Images) -> list[str]:
    """One text for each kind of fault that the numbers of the used people show."""
    used = people.take(people.used)
    boxes = people.bboxes_xywh
    if not len(used):
        in_parts = len(people) and boxes.max(initial=0) <= 1 and (boxes[:, 2:] > 0).all()
        return ["all boxes are from 0 to 1: they must be in pixels"] if in_parts else []
    notes = []
    keys = zip(used.images.tolist(), used.keypoints, strict=True)
    if repeated := len(used) - len({hash((image, points.tobytes())) for image, points in keys}):
        notes.append(f"{repeated} are annotated twice")
    parts = used.areas / used.bboxes_xywh[:, 2:].prod(axis=1)
    if strange := int(((parts < _LEAST_AREA) | (parts > _MOST_AREA)).sum()):
        notes.append(f"area of {strange} is beyond their box or below 1 % of it: is it in pixels?")
    return notes + _describe_places(used, images)


def _describe_places(used: People, images: Images) -> list[str]:
    notes, labelled = [], used.visibility > 0
    low, size = np.split(used.bboxes_xywh, 2, axis=1)
    high, margin = low + size, _BEYOND_BOX * size
    is_beyond = (used.keypoints < (low - margin)[:, None]) | (used.keypoints > (high + margin)[:, None])
    beyond = (is_beyond.any(axis=2) & labelled).sum(axis=1)
    if outside := int((beyond > labelled.sum(axis=1) / 2).sum()):
        notes.append(
            f"most keypoints of {outside} are outside of their boxes: are both in pixels of the image, x "
            "before y?"
        )
    if at_zero := int(((used.keypoints == 0).all(axis=2) & labelled).any(axis=1).sum()):
        notes.append(f"keypoints of {at_zero} are labelled at 0, 0: the visibility must be 0 if not labelled")
    limits = images.limits(used.images)
    if (size > low).all() and (size <= limits).all() and (high > limits).any(axis=1).mean() > 0.5:
        notes.append("boxes reach beyond their images: are they x, y, width, height, not corners?")
    return notes
