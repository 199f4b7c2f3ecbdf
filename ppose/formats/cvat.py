"""CVAT's XML 1.1, for images and for videos (docs.cvat.ai, "CVAT for images/video")."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ppose.errors import DataError
from ppose.files import read_bytes, write_bytes
from ppose.formats.labels import ContentBuilder, Labels
from ppose.formats.shapes import Shape, add_shapes, box_around
from ppose.keypoints import KeypointSet
from ppose.paths import show_name

_Element = ElementTree.Element
_NO_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0, section 2.2


def read_cvat(path: Path, keypoint_set: KeypointSet | None, image_dir: Path | None) -> dict[str, Any]:
    """Read skeletons of an annotations.xml, of images or tracks; a box with a skeleton's group_id is its box.

    Single points, in tasks without skeletons, become people as in `add_shapes`; other shapes are counted and
    skipped. A point marked outside is not labelled, an occluded one is hidden. Frames of a video are named
    frame_000000.PNG and so on, as in CVAT's export.
    """
    root = _read_xml(path)
    builder = ContentBuilder()
    builder.add_names(keypoint_set.names if keypoint_set is not None else _list_names(root))
    for image in root.iter("image"):
        size = _whole(image, "width", path), _whole(image, "height", path)
        number = builder.add_image(_text(image, "name", path), size)
        taken = set()
        for skeleton in image.iter("skeleton"):
            box = _find_box(image, skeleton)
            taken.add(id(box))
            _add_skeleton(builder, number, skeleton, path, box)
        rest = [shape for shape in image if shape.tag != "skeleton" and id(shape) not in taken]
        shapes = list(filter(None, (_read_shape(shape, path, builder) for shape in rest)))
        groups = {shape.group for shape in shapes if not shape.is_box}
        shapes = [shape if shape.group in groups else replace(shape, group=None) for shape in shapes]
        add_shapes(builder, number, shapes, f"{show_name(path)}: {_text(image, 'name', path)}")
    _add_tracks(builder, root, path)
    return builder.finish()


def _read_xml(path: Path) -> _Element:
    data = read_bytes(path, "annotation file")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise DataError(f"{show_name(path)}: has a document type; is it a CVAT file?")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{show_name(path)}: not XML: {error}") from None
    if root.tag != "annotations":
        raise DataError(f"{show_name(path)}: not CVAT's: it starts with <{root.tag}>, expected <annotations>")
    return root


def _list_names(root: _Element) -> list[str]:
    """The keypoints in the task's labels, in their order."""
    labels = [label for label in root.iter("label") if label.find("parent") is not None]
    return [label.findtext("name") or "" for label in labels]


def _find_box(image: _Element, skeleton: _Element) -> _Element | None:
    """The box in a skeleton's group; of several the one with its label, or the first."""
    group = skeleton.get("group_id")
    boxes = [box for box in image.iter("box") if group and box.get("group_id") == group]
    own = [box for box in boxes if box.get("label") == skeleton.get("label")]
    return next(iter(own or boxes), None)


def _read_shape(element: _Element, path: Path, builder: ContentBuilder) -> Shape | None:
    """A box or a single point; None for other shapes, which are counted."""
    label, group = element.get("label", ""), element.get("group_id")
    if element.tag == "box":
        return Shape(_text(element, "label", path), tuple(_read_corners(element, path)), group)
    if element.tag != "points" or ";" in _text(element, "points", path):
        several = " of several points each" if element.tag == "points" else ""
        builder.count(f"<{element.tag}>{several} skipped")
        return None
    return Shape(label, _read_point(element, path), group, element.get("occluded") == "1")


def _add_tracks(builder: ContentBuilder, root: _Element, path: Path) -> None:
    frames: dict[tuple[str, int], list[tuple[int, str, _Element]]] = {}
    for track in root.iter("track"):
        number, label, task = _whole(track, "id", path), _text(track, "label", path), track.get("task_id", "")
        for skeleton in track.iter("skeleton"):
            frame = _whole(skeleton, "frame", path)
            if skeleton.get("outside") != "1":
                frames.setdefault((task, frame), []).append((number, label, skeleton))
        for shape in track:
            if shape.tag != "skeleton":
                builder.count(f"<{shape.tag}> of tracks skipped")
    sizes = [_read_size(element, path) for element in root.iter("original_size")]
    size = sizes[0] if len(set(sizes)) == 1 else (0, 0)
    is_one = len({task for task, _ in frames}) < 2  # each task of a project numbers its own frames
    for (task, frame), skeletons in sorted(frames.items()):
        image = builder.add_image(f"{'' if is_one else f'task_{task}/'}frame_{frame:06d}.PNG", size)
        for number, label, skeleton in skeletons:
            _add_skeleton(builder, image, skeleton, path, label=label, track_id=number)


def _add_skeleton(
    builder: ContentBuilder,
    image: int,
    skeleton: _Element,
    path: Path,
    box: _Element | None = None,
    label: str | None = None,
    track_id: int | None = None,
) -> None:
    points = {}
    for point in skeleton.iter("points"):
        if point.get("outside") == "1":
            continue
        x, y = _read_point(point, path)
        points[_text(point, "label", path)] = (x, y, 1 if point.get("occluded") == "1" else 2)
    bbox = None if box is None else _read_box(box, path)
    label = label or _text(skeleton, "label", path)
    builder.add_person(image, points, label, bbox=bbox, track_id=track_id)


def _read_point(point: _Element, path: Path) -> tuple[float, float]:
    text = _text(point, "points", path)
    numbers = re.fullmatch(r"\s*([-+.\deE]+),([-+.\deE]+)\s*", text)
    try:
        x, y = map(float, numbers.groups() if numbers is not None else ())
    except ValueError:
        raise DataError(f"{show_name(path)}: points are '{text:.40}', expected x,y of one point") from None
    return x, y


def _read_box(box: _Element, path: Path) -> list[float]:
    left, top, right, bottom = _read_corners(box, path)
    return [left, top, right - left, bottom - top]


def _read_corners(box: _Element, path: Path) -> tuple[float, ...]:
    """left, top, right, bottom of a box, or of the upright box around a rotated one."""
    corners = tuple(_number(box, side, path) for side in ("xtl", "ytl", "xbr", "ybr"))
    turned = _number(box, "rotation", path, 0)
    left, top, right, bottom = corners
    middle = (left + right) / 2, (top + bottom) / 2
    return box_around(left, top, right, bottom, turned, middle) if turned else corners


def _read_size(element: _Element, path: Path) -> tuple[int, int]:
    try:
        return int(element.findtext("width") or 0), int(element.findtext("height") or 0)
    except ValueError:
        raise DataError(f"{show_name(path)}: <original_size> is no width and height") from None


def _text(element: _Element, name: str, path: Path) -> str:
    value = element.get(name)
    if value is None:
        raise DataError(f"{show_name(path)}: <{element.tag}> has no {name}")
    return value


def _number(element: _Element, name: str, path: Path, missing: float | None = None) -> float:
    if missing is not None and element.get(name) is None:
        return missing
    text = _text(element, name, path)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{show_name(path)}: <{element.tag}> has {name}='{text}', expected a number")
    return number


def _whole(element: _Element, name: str, path: Path) -> int:
    return int(_number(element, name, path, 0 if element.tag == "image" else None))


def write_cvat(path: Path, labels: Labels) -> None:
    """Write an annotations.xml of images, for a task whose labels are skeletons of these keypoints."""
    names = (
        *labels.annotations.images.file_names, *labels.annotations.categories.values(),
        *labels.keypoint_set.names,
    )  # fmt: skip
    if strange := next(filter(_NO_XML.search, names), None):
        raise DataError(f"{labels.annotations.where}: XML has no letters for the name {show_name(strange)}")
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    listed = ElementTree.SubElement(
        ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task"), "labels"
    )
    for category in dict.fromkeys(labels.annotations.categories.values()):
        for name, kind in [(category, "skeleton"), *((n, "points") for n in labels.keypoint_set.names)]:
            label = ElementTree.SubElement(listed, "label")
            ElementTree.SubElement(label, "name").text = name
            ElementTree.SubElement(label, "type").text = kind
            if kind == "points":
                ElementTree.SubElement(label, "parent").text = category
    for number, (_, name, (width, height), rows) in enumerate(labels.by_image()):
        size = {"width": str(width), "height": str(height)}
        image = ElementTree.SubElement(root, "image", {"id": str(number), "name": name, **size})
        for group, row in enumerate(rows, 1):
            image.extend(_make_person(labels, row, group))
    ElementTree.indent(root)
    write_bytes(path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _make_person(labels: Labels, row: int, group: int) -> Iterator[_Element]:
    common = {
        "label": labels.category(row), "source": "manual", "occluded": "0", "z_order": "0",
        "group_id": str(group),
    }  # fmt: skip
    x, y, width, height = labels.people.bboxes_xywh[row].tolist()
    corners = {"xtl": x, "ytl": y, "xbr": x + width, "ybr": y + height}
    yield ElementTree.Element("box", common | {side: repr(value) for side, value in corners.items()})
    known = {name: (x, y, hidden) for name, x, y, hidden in labels.points(row)}
    if not known:
        return
    skeleton = ElementTree.Element("skeleton", common)
    for name in labels.keypoint_set.names:
        x, y, hidden = known.get(name, (0.0, 0.0, False))
        flags = {"outside": str(int(name not in known)), "occluded": str(int(hidden))}
        ElementTree.SubElement(skeleton, "points", {"label": name, **flags, "points": f"{x!r},{y!r}"})
    yield skeleton
