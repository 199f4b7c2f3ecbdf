"""labelme's files: a JSON per image, with points and rectangles in groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from ppose.errors import DataError
from ppose.files import read_json, write_json
from ppose.formats.labels import ContentBuilder, Labels
from ppose.formats.shapes import Shape, add_shapes
from ppose.keypoints import KeypointSet

_VERSION = "5.4.1"  # of written files
_HIDDEN = "hidden"  # the flag of a point


def read_labelme(path: Path, keypoint_set: KeypointSet | None, image_dir: Path | None) -> dict[str, Any]:
    """Read labelme's JSON files, a folder or one: points are keypoints by label, a rectangle is the box.

    The shapes of one group_id are a person; without one, see `add_shapes`. A point's flag `hidden` makes it
    hidden. Other shapes are only counted. Image names are relative to the folder.
    """
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    builder = ContentBuilder()
    if keypoint_set is not None:
        builder.add_names(keypoint_set.names)
    for file in files:
        content = read_json(file, "labelme file")
        if not isinstance(content, Mapping) or not isinstance(content.get("shapes"), list):
            raise DataError(f"{file}: not labelme's: it has no list 'shapes'")
        name = PureWindowsPath(str(content.get("imagePath") or file.with_suffix(".jpg").name)).name
        folder = file.parent.relative_to(path) if path.is_dir() else Path()
        size = content.get("imageWidth"), content.get("imageHeight")
        image = builder.add_image((folder / name).as_posix(), size)
        shapes = []
        for number, given in enumerate(content["shapes"]):
            shape = _read_shape(given, f"{file}: shapes[{number}]")
            if shape is None:
                builder.count(f"{given.get('shape_type') or 'untyped'} shapes skipped")
            else:
                shapes.append(shape)
        add_shapes(builder, image, shapes, str(file))
    if not files:
        raise DataError(f"{path} has no .json files: expected labelme's, one per image")
    return builder.finish()


def _read_shape(shape: Any, where: str) -> Shape | None:
    if not isinstance(shape, Mapping) or not isinstance(shape.get("label"), str):
        raise DataError(f"{where}: expected a label, points and a shape_type")
    kind, count = shape.get("shape_type"), {"point": 1, "rectangle": 2}.get(str(shape.get("shape_type")))
    if count is None:
        return None
    try:
        values = tuple(float(value) for x, y in shape["points"] for value in (x, y))
    except (KeyError, TypeError, ValueError):
        values = ()
    if len(values) == 8 and count == 2:  # from X-AnyLabeling, with all four corners
        values = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    if len(values) != 2 * count:
        raise DataError(f"{where}: expected {count} points [x, y] of a {kind}")
    flags = shape.get("flags")
    hidden = isinstance(flags, Mapping) and bool(flags.get(_HIDDEN))
    return Shape(shape["label"], values, shape.get("group_id"), hidden)


def write_labelme(path: Path, labels: Labels) -> None:
    """Write a JSON per image to the folder ``path``; labelme opens them if the images are beside them."""
    for file, image, _, _, rows in labels.by_file(".json"):
        write_json(path / file, make_labelme(labels, image, rows), indent=1)


def make_labelme(labels: Labels, image: int, people: Sequence[int]) -> dict[str, Any]:
    """The content of labelme's file of an image, by its row and its people's: a group per person."""
    images, shapes = labels.annotations.images, list[dict[str, Any]]()
    for group, row in enumerate(people, 1):
        x, y, w, h = labels.people.bboxes_xywh[row].tolist()
        if w > 0 and h > 0:
            shapes.append(_shape(labels.category(row), [[x, y], [x + w, y + h]], group, "rectangle"))
        shapes += [
            _shape(point, [[x, y]], group, "point", {_HIDDEN: True} if hidden else {})
            for point, x, y, hidden in labels.points(row)
        ]
    width, height = images.sizes[image].tolist()
    return {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": PureWindowsPath(images.file_names[image]).name,
        "imageData": None,
        "imageHeight": height or None,
        "imageWidth": width or None,
    }


def _shape(
    label: str, points: list[list[float]], group: int, kind: str, flags: Mapping[str, bool] | None = None
) -> dict[str, Any]:
    shape = {"label": label, "points": points, "group_id": group, "description": "", "shape_type": kind}
    return {**shape, "flags": dict(flags or {})}
