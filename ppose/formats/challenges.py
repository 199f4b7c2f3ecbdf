"""MPII's and AI Challenger's annotations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppose.errors import DataError
from ppose.files import read_json, write_json
from ppose.formats.labels import ContentBuilder, Labels, image_of_stem
from ppose.geometry import bbox_xywh_to_xyxy
from ppose.keypoints import KeypointSet, get_keypoint_set
from ppose.mpii_format import PIXELS, read_raw_people

_AIC, _MPII = get_keypoint_set("aic14"), get_keypoint_set("mpii16")
_SEEN, _HIDDEN, _MISSING = 1, 2, 3  # visibilities of AI Challenger; ours are 2, 1, 0


def read_mpii(path: Path, keypoint_set: KeypointSet | None, image_dir: Path | None) -> dict[str, Any]:
    """Read HRNet's JSON, or the training people of the release's .mat; the result counts pixels from 0.

    A box is the square with sides of 200 scale, about the person's height, around the center.
    """
    builder, images = ContentBuilder(), dict[str, int]()
    builder.add_names(_MPII.names)
    for name, _, person in read_raw_people(path):
        if name not in images:
            images[name] = builder.add_image(name)
        points = {
            key: (x - 1, y - 1, 2) for key, (x, y, v) in zip(_MPII.names, person.keypoints, strict=True) if v
        }
        box = None
        if person.center is not None and person.scale is not None and person.center[0] != -1:
            side = PIXELS * person.scale
            box = [*(person.center - 1 - side / 2).tolist(), side, side]
        builder.add_person(images[name], points, bbox=box)
    return builder.finish()


def write_mpii(path: Path, labels: Labels) -> None:
    """Write HRNet's JSON, a list of {image, center, scale, joints, joints_vis}; pixels count from 1."""
    if path.suffix.lower() != ".json":
        raise DataError(f"{path}: MPII's labels can be written only as HRNet's .json, not as .mat")
    labels = labels.in_order_of(_MPII, "MPII")
    people, entries = labels.people, []
    for _, name, _, rows in labels.by_image():
        for row in rows:
            x, y, width, height = people.bboxes_xywh[row].tolist()
            known = people.visibility[row] > 0
            entries.append(
                {
                    "image": name,
                    "center": [x + width / 2 + 1, y + height / 2 + 1],
                    "scale": max(width, height) / PIXELS,
                    "joints": np.where(known[:, None], people.keypoints[row] + 1, 0).tolist(),
                    "joints_vis": known.astype(int).tolist(),
                }
            )
    write_json(path, entries)


def read_aic(path: Path, keypoint_set: KeypointSet | None, image_dir: Path | None) -> dict[str, Any]:
    """Read AI Challenger's JSON: a list of images, keypoint_annotations, human_annotations (corners)."""
    entries = read_json(path, "AI Challenger file")
    if not isinstance(entries, list):
        raise DataError(
            f"{path}: expected AI Challenger's JSON, a list of {{image_id, keypoint_annotations, ...}}"
        )
    builder = ContentBuilder()
    builder.add_names(_AIC.names)
    for number, entry in enumerate(entries):
        where = f"{path}: [{number}]"
        points = entry.get("keypoint_annotations") if isinstance(entry, Mapping) else None
        if not isinstance(points, Mapping) or not isinstance(entry.get("image_id"), str):
            raise DataError(f"{where}: expected image_id, keypoint_annotations and human_annotations")
        name = entry["image_id"]
        name = f"{name}.jpg" if image_dir is None else image_of_stem(image_dir, name)
        image = builder.add_image(name)
        boxes = entry.get("human_annotations") or {}
        if not isinstance(boxes, Mapping):
            raise DataError(f"{where}: human_annotations: expected an object with a box per person")
        nothing = [0, 0, _MISSING] * len(_AIC.names)
        points = {**points, **{person: nothing for person in boxes if person not in points}}
        for person, values in points.items():
            try:
                rows = np.array(values, np.float64).reshape(len(_AIC.names), 3).tolist()
                left, top, right, bottom = map(float, boxes[person]) if person in boxes else [0] * 4
            except (TypeError, ValueError):
                raise DataError(
                    f"{where}: {person}: expected x, y, visibility of 14 keypoints, and a box's corners"
                ) from None
            named = zip(_AIC.names, rows, strict=True)
            labelled = {key: (x, y, 3 - v) for key, (x, y, v) in named if v in (_SEEN, _HIDDEN)}
            box = [left, top, right - left, bottom - top] if person in boxes else None
            builder.add_person(image, labelled, bbox=box)
    return builder.finish()


def write_aic(path: Path, labels: Labels) -> None:
    """Write AI Challenger's JSON; an image's id is its name without the ending, which must be .jpg."""
    labels = labels.in_order_of(_AIC, "AI Challenger")
    people, entries = labels.people, []
    flags = np.array([_MISSING, _HIDDEN, _SEEN])[people.visibility.astype(int)]
    points = np.dstack([np.where(people.visibility[..., None] > 0, people.keypoints, 0), flags])
    corners = bbox_xywh_to_xyxy(people.bboxes_xywh)
    for file, _, _, _, rows in labels.by_file(""):
        humans = {f"human{number}": row for number, row in enumerate(rows, 1)}
        entries.append(
            {
                "image_id": file.as_posix(),
                "url": "",
                "keypoint_annotations": {key: points[row].ravel().tolist() for key, row in humans.items()},
                "human_annotations": {key: corners[row].tolist() for key, row in humans.items()},
            }
        )
    write_json(path, entries)
