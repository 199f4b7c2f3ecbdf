"""Writes poses to files of labelling tools, to correct them there, and to a table."""

import csv
import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ppose.files import write_bytes
from ppose.formats import Labels, make_labels
from ppose.formats.coco import write_coco
from ppose.formats.label_studio import write_label_studio
from ppose.formats.labelme import write_labelme
from ppose.formats.yolo import write_yolo
from ppose.inference.poses import Poses

LabelTool = Literal["cvat", "labelstudio", "labelme", "yolo"]
Named = Sequence[tuple[str, Poses]]
PoseWriter = Callable[[Named], None]  # writes the files of all images, of which there is at least one


def open_labels(tool: LabelTool, folder: Path, threshold: float) -> PoseWriter:
    """The writer of a tool's files; keypoints with a score below ``threshold`` are not labelled.

    cvat: `labels.json`, in COCO's format, which CVAT imports as "COCO Keypoints 1.0". labelstudio:
    `labels.json`, tasks with predictions, and `labels.xml`, the project's labelling interface. labelme and
    yolo (Ultralytics' pose labels, with a data.yaml): one file per image, in `labels/`.
    """
    file = folder / "labels.json"
    write: Callable[[Labels], None] = {
        "cvat": partial(write_coco, file),
        "labelstudio": partial(write_label_studio, file, predicted=True),
        "labelme": partial(write_labelme, folder / "labels"),
        "yolo": partial(write_yolo, folder),
    }[tool]
    return lambda found: write(to_labels(found, threshold))


def open_table(folder: Path) -> PoseWriter:
    """The writer of `keypoints.csv`: image, person, and the columns of `Poses.to_rows`."""
    return lambda found: write_bytes(folder / "keypoints.csv", _to_csv(found).encode())


def to_labels(found: Named, threshold: float) -> Labels:
    """The poses of images as labels."""
    merged: dict[str, Any] = {"images": [], "annotations": []}
    for number, (name, poses) in enumerate(found, start=1):
        content = poses.to_coco(name, number, threshold)
        for annotation in content["annotations"]:
            annotation["id"] = len(merged["annotations"]) + 1
            merged["annotations"].append(annotation)
        merged["images"] += content["images"]
        merged["categories"] = content["categories"]
    return make_labels(merged, "the poses", found[0][1].keypoint_set, needs_people=False)


def _to_csv(found: Named) -> str:
    rows = [
        {"image": name, "person": number, **row}
        for name, poses in found
        for number, row in enumerate(poses.to_rows(), start=1)
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["image", "person"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
