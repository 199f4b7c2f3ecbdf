"""Ultralytics' pose datasets: data.yaml, and a text file per image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ppose.annotations.merge import merge_contents
from ppose.errors import DataError
from ppose.files import write_bytes
from ppose.formats.labels import Labels
from ppose.formats.yolo_labels import read_yolo_labels
from ppose.geometry import bbox_xywh_to_xyxy
from ppose.keypoints import KeypointSet, make_keypoint_set
from ppose.paths import show_name

_PARTS = ("train", "val", "test")


def read_yolo(path: Path, keypoint_set: KeypointSet | None, image_dir: Path | None) -> dict[str, Any]:
    """Read all parts of a data.yaml or its folder, or one folder of labels (docs.ultralytics.com).

    A label's path is its image's, with labels/ instead of images/. The keypoints' names are kpt_names if
    present, else numbers; flip_idx gives the pairs.
    """
    file = _find_yaml(path)
    data = {} if file is None else _read_yaml(file)
    known = _make_set(data, str(file)) if file is not None else keypoint_set
    if known is None:
        raise DataError(
            f"{path}: no data.yaml near, which has the number of keypoints: give a --keypoint_set instead"
        )
    names = data.get("names") or {}
    names = dict(enumerate(names)) if isinstance(names, list) else names
    pairs = [list(pair) for pair in known.flip_pairs]
    contents = []
    for labels, images in _list_folders(path, file, data, image_dir):
        if not images.is_dir():
            raise DataError(
                f"image folder not found: {show_name(images)}; put the images there, or give the folder of "
                f"labels, {show_name(labels)}, with --image_dir DIR"
            )
        content = read_yolo_labels(labels, images, known)
        for image in content["images"]:
            image["file_name"] = _name_from(images, image["file_name"], file)
        numbers = {entry["category_id"] for entry in content["annotations"]}
        content["categories"] = [
            {
                "id": number,
                "name": str(names.get(number, number)),
                "keypoints": list(known.names),
                "flip_pairs": pairs,
                "skeleton": [[a + 1, b + 1] for a, b in known.skeleton],
            }
            for number in sorted(numbers)
        ]
        contents.append((str(labels), content))
    return merge_contents(contents)[0]


def _find_yaml(path: Path) -> Path | None:
    if path.suffix.lower() in (".yaml", ".yml"):
        return path
    folders = (path, *path.resolve().parents[:3])
    return next((folder / "data.yaml" for folder in folders if (folder / "data.yaml").is_file()), None)


def _read_yaml(file: Path) -> Mapping[str, Any]:
    try:
        data = yaml.safe_load(file.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"data.yaml not found: {show_name(file)}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{show_name(file)}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, Mapping):
        raise DataError(f"{show_name(file)}: expected kpt_shape, names and the folders of images")
    return data


def _make_set(data: Mapping[str, Any], where: str) -> KeypointSet:
    shape = data.get("kpt_shape")
    if not isinstance(shape, list) or not shape or type(shape[0]) is not int or shape[0] < 1:
        raise DataError(
            f"{where}: kpt_shape is {shape!r}, expected [keypoints, 2 or 3]: is it a pose dataset?"
        )
    count = shape[0]
    flip = data.get("flip_idx") or list(range(count))
    is_flip = isinstance(flip, list) and len(flip) == count and all(type(i) is int for i in flip)
    if not is_flip or any(not 0 <= i < count or flip[i] != n for n, i in enumerate(flip)):
        raise DataError(f"{where}: flip_idx is {flip!r}, expected a partner for each of {count} keypoints")
    names = data.get("kpt_names")
    names = next(iter(names.values()), None) if isinstance(names, Mapping) and names else names
    if not isinstance(names, list) or len(names) != count:
        names = range(1, count + 1)
    pairs = [(n, i) for n, i in enumerate(flip) if n < i]
    return make_keypoint_set("the file's", list(map(str, names)), pairs)


def _list_folders(
    path: Path, file: Path | None, data: Mapping[str, Any], image_dir: Path | None
) -> list[tuple[Path, Path]]:
    """(labels, images) folders, of a folder of labels or of all parts."""
    parts: list[tuple[Path, Path]] = []
    if path.is_dir() and path != (file.parent if file is not None else None):
        parts = [(path, image_dir or _swap(path, "labels", "images"))]
    elif file is not None:
        root = file.parent / str(data.get("path") or "")
        root = root if root.is_dir() else file.parent
        given = [data[part] for part in _PARTS if data.get(part)]
        folders = [_find(root, one) for part in given for one in (part if isinstance(part, list) else [part])]
        for folder in folders:
            if folder.is_file():
                raise DataError(f"{show_name(folder)} is a list of images: give the label folder instead")
        parts = [(_swap(folder, "images", "labels"), folder) for folder in dict.fromkeys(folders)]
    found: list[tuple[Path, Path]] = []
    for labels, images in parts:
        holding = sorted({text.parent for text in labels.rglob("*.txt")})
        found += [(folder, images / folder.relative_to(labels)) for folder in holding]
    if not found:
        looked = ", ".join(show_name(labels) for labels, _ in parts)
        raise DataError(f"{show_name(path)}: no labels (.txt) in {looked or 'it: data.yaml names no train'}")
    return found


def _find(root: Path, given: Any) -> Path:
    """A folder of data.yaml; Roboflow writes `../` for data.yaml's own folder."""
    folder, text = root / str(given), str(given)
    return root / text[3:] if text.startswith("../") and not folder.exists() else folder


def _swap(folder: Path, one: str, other: str) -> Path:
    parts = list(folder.parts)
    if one not in parts:
        return folder
    last = len(parts) - 1 - parts[::-1].index(one)
    return Path(*parts[:last], other, *parts[last + 1 :])


def _name_from(images: Path, name: str, file: Path | None) -> str:
    """An image's name relative to images/ in the dataset's folder, or to that folder: train/images/a.jpg."""
    root = images if file is None else file.parent
    whole = (images / name).resolve()
    for folder in (root / "images", root):
        if whole.is_relative_to(folder.resolve()):
            return whole.relative_to(folder.resolve()).as_posix()
    return whole.as_posix()


def write_yolo(path: Path, labels: Labels) -> None:
    """Write ``path``/data.yaml and labels/NAME.txt; the images must be in images/. Raises DataError.

    A line is class, the box's middle and size, and x, y, visibility of each keypoint, as shares of the image.
    Ultralytics refuses values outside of it: boxes are clipped, keypoints there become unlabelled.
    """
    labels.require_sizes()
    people, known = labels.people, labels.keypoint_set
    classes = {number: row for row, number in enumerate(labels.annotations.categories)}
    numbers = people.category_ids.tolist()
    for file, _, _, size, rows in labels.by_file(".txt"):
        lines = []
        for row in rows:
            low, high = np.clip(bbox_xywh_to_xyxy(people.bboxes_xywh[row]).reshape(2, 2) / size, 0, 1)
            points = people.keypoints[row] / size
            flags = people.visibility[row] * ((points >= 0) & (points <= 1)).all(axis=1)
            points = np.where(flags[:, None] > 0, points, 0)
            values = [*(low + high) / 2, *high - low]
            values += np.column_stack([points, flags]).ravel().tolist()
            lines.append(" ".join([str(classes[numbers[row]]), *(f"{v:.12g}" for v in values)]) + "\n")
        write_bytes(path / "labels" / file, "".join(lines).encode())
    names = list(labels.annotations.categories.values())
    data = {  # without path, which Ultralytics takes relative to the current folder
        "train": "images",
        "val": "images",
        "kpt_shape": [known.num_keypoints, 3],
        "flip_idx": known.flip_indices.tolist(),
        "names": dict(enumerate(names)),
        "kpt_names": {row: list(known.names) for row in range(len(names))},
    }
    write_bytes(path / "data.yaml", yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode())
