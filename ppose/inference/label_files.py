"""Poses in the files of labelling tools, for people to correct, and as a table."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from ppose.files import write_bytes, write_json
from ppose.geometry import bbox_xyxy_to_xywh
from ppose.inference.poses import Pose, Poses
from ppose.paths import show_name

LabelTool = Literal["cvat", "labelstudio", "labelme", "yolo"]
Named = Sequence[tuple[str, Poses]]


class PoseWriter(Protocol):
    """Takes the poses of one image file after the other; `close` writes what has to wait for all."""

    def add(self, file: Path, poses: Poses) -> None:
        """The poses of an image file."""

    def close(self) -> None:
        """There are no more."""


class FilePerImage:
    """`labels/NAME.txt` or `.json`, as an image is done."""

    def __init__(self, folder: Path, ending: str, encode: Callable[[str, Poses], bytes]) -> None:
        self._folder, self._ending, self._encode = folder / "labels", ending, encode

    def add(self, file: Path, poses: Poses) -> None:
        """See `PoseWriter`."""
        write_bytes(self._folder / f"{file.stem}{self._ending}", self._encode(show_name(file.name), poses))

    def close(self) -> None:
        """See `PoseWriter`."""


class FileOfAll:
    """One file in the end."""

    def __init__(self, write: Callable[[Named], None]) -> None:
        self._write = write
        self._found: list[tuple[str, Poses]] = []

    def add(self, file: Path, poses: Poses) -> None:
        """See `PoseWriter`."""
        self._found.append((show_name(file.name), poses))

    def close(self) -> None:
        """See `PoseWriter`."""
        if self._found:
            self._write(self._found)


def open_labels(tool: LabelTool, folder: Path, threshold: float) -> PoseWriter:
    """The writer of a tool's files; keypoints with a lower score than ``threshold`` are not labelled.

    cvat: `labels.json`, in COCO's format, which CVAT imports as "COCO Keypoints 1.0". labelstudio:
    `labels.json`, tasks with predictions, and `labels.xml`, the project's labelling interface. labelme and
    yolo (Ultralytics' pose labels): a file an image, in `labels/`.
    """
    file = folder / "labels.json"
    if tool == "cvat":
        return FileOfAll(lambda found: write_json(file, merge_coco(found, threshold)))
    if tool == "labelstudio":
        return FileOfAll(lambda found: _write_label_studio(found, file, threshold))
    if tool == "labelme":
        return FilePerImage(
            folder, ".json", lambda name, poses: json.dumps(poses.to_labelme(name, threshold)).encode()
        )
    return FilePerImage(folder, ".txt", lambda _, poses: to_yolo(poses, threshold).encode())


def open_table(folder: Path) -> PoseWriter:
    """The writer of `keypoints.csv`: image, person, and the columns of `Poses.to_rows`."""
    return FileOfAll(lambda found: write_bytes(folder / "keypoints.csv", _to_csv(found).encode()))


def merge_coco(found: Named, threshold: float) -> dict[str, Any]:
    """The images as one file in COCO's format."""
    merged: dict[str, Any] = {"images": [], "annotations": []}
    for number, (name, poses) in enumerate(found, start=1):
        content = poses.to_coco(name, number, threshold)
        for annotation in content["annotations"]:
            annotation["id"] = len(merged["annotations"]) + 1
            merged["annotations"].append(annotation)
        merged["images"] += content["images"]
        merged["categories"] = content["categories"]
    return merged


def to_yolo(poses: Poses, threshold: float) -> str:
    """A line a person: class 0, the box's middle and size, x, y and visibility, in parts of the image's."""
    width, height = poses.size
    lines = []
    for pose in poses:
        x, y, w, h = bbox_xyxy_to_xywh(np.clip(pose.bbox_xyxy, 0, [width, height] * 2))
        box = np.array([x + w / 2, y + h / 2, w, h]) / ([width, height] * 2)
        is_inside = ((pose.keypoints >= 0) & (pose.keypoints <= [width, height])).all(axis=1)
        is_labelled = (pose.scores >= threshold) & is_inside
        points = np.column_stack([pose.keypoints / [width, height], np.full(len(pose.scores), 2)])
        numbers = [*box, *(points * is_labelled[:, None]).ravel()]
        lines.append(" ".join(["0", *(f"{number:.7g}" for number in numbers)]))
    return "".join(f"{line}\n" for line in lines)


def _write_label_studio(found: Named, file: Path, threshold: float) -> None:
    tasks = [
        {
            "data": {"image": name},
            "predictions": [
                {
                    "score": float(np.mean([pose.score for pose in poses])) if poses else 0.0,
                    "result": _to_results(poses, threshold),
                }
            ],
        }
        for name, poses in found
    ]
    write_json(file, tasks)
    view = ET.Element("View")
    ET.SubElement(view, "Image", name="image", value="$image")
    boxes = ET.SubElement(view, "RectangleLabels", name="box", toName="image")
    ET.SubElement(boxes, "Label", value="person")
    points = ET.SubElement(view, "KeyPointLabels", name="keypoint", toName="image")
    for name in found[0][1].keypoint_set.names:
        ET.SubElement(points, "Label", value=name)
    ET.indent(view)
    write_bytes(file.with_suffix(".xml"), ET.tostring(view))


def _to_results(poses: Poses, threshold: float) -> list[dict[str, Any]]:
    """Label Studio's regions, in percent of the image's size; points name their box as parent."""
    (width, height), results = poses.size, []
    of_image = {"to_name": "image", "original_width": width, "original_height": height, "image_rotation": 0}
    for number, pose in enumerate(poses, start=1):
        x, y, w, h = (100 * bbox_xyxy_to_xywh(pose.bbox_xyxy) / ([width, height] * 2)).tolist()
        value: dict[str, Any] = {"x": x, "y": y, "width": w, "height": h, "rotation": 0}
        box = {"id": f"person{number}", "from_name": "box", "type": "rectanglelabels", **of_image}
        results.append(box | {"value": value | {"rectanglelabels": ["person"]}, "score": pose.score})
        results += _to_points(pose, poses, f"person{number}", threshold, of_image)
    return results


def _to_points(
    pose: Pose, poses: Poses, parent: str, threshold: float, of_image: dict[str, Any]
) -> list[dict[str, Any]]:
    points = []
    for index in np.flatnonzero(pose.scores >= threshold):
        name, (x, y) = poses.keypoint_set.names[index], (100 * pose.keypoints[index] / poses.size).tolist()
        value = {"x": x, "y": y, "width": 0.5, "keypointlabels": [name]}
        about = {"id": f"{parent}_{name}", "parentID": parent, "from_name": "keypoint"}
        points.append({**about, "type": "keypointlabels", **of_image, "value": value})
    return points


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
