"""Files in COCO's format, including CrowdPose's and PoseTrack18's."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ppose.annotations.merge import merge_contents
from ppose.errors import DataError
from ppose.files import read_json, write_json
from ppose.formats.labels import Labels
from ppose.keypoints import KeypointSet, get_keypoint_set


def read_coco(path: Path, keypoint_set: KeypointSet | None, image_dir: Path | None) -> dict[str, Any]:
    """Read a file, or all files of a folder as one, since PoseTrack18 has a file per video."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    contents = [(str(file), read_json(file, "annotation file")) for file in files]
    for where, content in contents:
        if not isinstance(content, Mapping) or not isinstance(content.get("images"), list):
            raise DataError(f"{where}: not a COCO annotation file: it has no list 'images'")
    if not contents:
        raise DataError(f"{path} has no .json files")
    return contents[0][1] if len(contents) == 1 else merge_contents(contents)[0]


def write_coco(path: Path, labels: Labels) -> None:
    """Write https://cocodataset.org/#format-data; a category also has its flip_pairs (indexes from 0)."""
    write_json(path, make_content(labels))


def make_content(labels: Labels) -> dict[str, Any]:
    """Labels as the content of a COCO file."""
    known, people, images = labels.keypoint_set, labels.people, labels.annotations.images
    image_ids, ids, categories = (
        column.tolist() for column in (images.ids[people.images], people.ids, people.category_ids)
    )
    entries: list[dict[str, Any]] = []
    for row in range(len(people)):
        flags = people.visibility[row].astype(int)
        points = zip(people.keypoints[row].tolist(), flags.tolist(), strict=True)
        entry = {
            "id": ids[row],
            "image_id": image_ids[row],
            "category_id": categories[row],
            "bbox": people.bboxes_xywh[row].tolist(),
            "segmentation": [],  # CVAT needs it
            "area": float(people.areas[row]),
            "iscrowd": int(people.is_crowd[row]),
            "num_keypoints": int(people.num_keypoints[row]),
            "keypoints": [value for (x, y), flag in points for value in (x, y, flag)],
        }
        if people.tracks[row] >= 0:
            entry["track_id"] = int(people.tracks[row])
        if np.isfinite(pose := people.poses[row]).all():
            entry["pose"] = {"quaternion": pose[:4].tolist(), "translation": pose[4:].tolist()}
        entries.append(entry)
    category = {
        "keypoints": list(known.names),
        "skeleton": [[a + 1, b + 1] for a, b in known.skeleton],
        "flip_pairs": [list(pair) for pair in known.flip_pairs],
    }
    names = labels.annotations.categories
    listed = [{"id": number, "name": name, **category} for number, name in names.items()]
    return {"images": _list_images(labels), "annotations": entries, "categories": listed}


def _list_images(labels: Labels) -> list[dict[str, Any]]:
    images, entries = labels.annotations.images, []
    columns = (images.ids.tolist(), images.file_names, images.sizes.tolist(), images.crowd_indexes.tolist())
    for number, name, (width, height), crowding in zip(*columns, strict=True):
        entry = {"id": number, "file_name": name}
        entry |= {"width": width, "height": height} if width and height else {}
        entries.append(entry | ({"crowdIndex": crowding} if np.isfinite(crowding) else {}))
    return entries


def write_crowdpose(path: Path, labels: Labels) -> None:
    """Write CrowdPose's JSON (Li et al., CVPR 2019): its 14 keypoints, and a crowdIndex per image."""
    labels = labels.in_order_of(get_keypoint_set("crowdpose14"), "CrowdPose")
    content = make_content(labels)
    for image in content["images"]:
        image.setdefault("crowdIndex", 0.0)
    write_json(path, content)


def write_posetrack(path: Path, labels: Labels) -> None:
    """Write PoseTrack18's JSON: if ``path`` is a folder, one file per video, named like it; else one for all.

    An image belongs to the video of its folder's name; frames count from the first image.
    """
    content = make_content(labels.in_order_of(get_keypoint_set("posetrack18"), "PoseTrack18"))
    videos: dict[str, list[dict[str, Any]]] = {}
    video_of = {}
    for image in content["images"]:
        video_of[image["id"]] = PurePosixPath(image["file_name"]).parent.name or "video"
        videos.setdefault(video_of[image["id"]], []).append(image)
    for name, images in videos.items():
        for image in images:
            image |= {"vid_id": name, "frame_id": image["id"], "nframes": len(images), "is_labeled": True}
    for entry in content["annotations"]:
        entry |= {"bbox_head": [], "scores": []}
    if path.suffix.lower() == ".json":
        write_json(path, content)
        return
    people: dict[str, list[dict[str, Any]]] = {name: [] for name in videos}
    for entry in content["annotations"]:
        people[video_of[entry["image_id"]]].append(entry)
    for name, images in videos.items():
        write_json(path / f"{name}.json", {**content, "images": images, "annotations": people[name]})
