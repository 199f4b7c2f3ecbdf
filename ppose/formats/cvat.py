"""CVAT's XML 1.1, for images and for videos (docs.cvat.ai, "CVAT for images/video")."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ppose.errors import DataError
from ppose.files import read_bytes, write_bytes
from ppose.formats.labels import ContentBuilder, Labels
from ppose.keypoints import KeypointSet
from ppose.paths import show_name

_Element = ElementTree.Element


def read_cvat(path: Path, keypoint_set: KeypointSet | None, image_dir: Path | None) -> dict[str, Any]:
    """Skeletons of an annotations.xml, of images or of tracks; a box with a skeleton's group_id is its box.

    A point that is outside is not labelled, an occluded one hidden. Frames of a video are called
    frame_000000.PNG and so on, as CVAT's export does.
    """
    root = _read_xml(path)
    builder = ContentBuilder()
    builder.add_names(keypoint_set.names if keypoint_set is not None else _list_names(root))
    for image in root.iter("image"):
        size = int(_number(image, "width", path, 0)), int(_number(image, "height", path, 0))
        number = builder.add_image(_text(image, "name", path), size)
        boxes = {box.get("group_id"): box for box in image.iter("box") if box.get("group_id")}
        taken = set()
        for skeleton in image.iter("skeleton"):
            box = boxes.get(skeleton.get("group_id"))
            taken.add(id(box))
            _add_skeleton(builder, number, skeleton, path, box)
        for box in image.iter("box"):
            if id(box) not in taken:
                builder.add_person(number, {}, _text(box, "label", path), bbox=_read_box(box, path))
    _add_tracks(builder, root, path)
    return builder.finish()


def _read_xml(path: Path) -> _Element:
    data = read_bytes(path, "annotation file")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise DataError(f"{show_name(path)}: has a document type, which CVAT's files have not")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{show_name(path)}: not XML: {error}") from None
    if root.tag != "annotations":
        raise DataError(f"{show_name(path)}: not CVAT's: it begins with <{root.tag}>, expected <annotations>")
    return root


def _list_names(root: _Element) -> list[str]:
    """The keypoints that the task's labels list, in their order."""
    labels = [label for label in root.iter("label") if label.find("parent") is not None]
    return [label.findtext("name") or "" for label in labels]


def _add_tracks(builder: ContentBuilder, root: _Element, path: Path) -> None:
    frames: dict[int, list[tuple[int, str, _Element]]] = {}
    for track in root.iter("track"):
        number, label = int(_number(track, "id", path)), _text(track, "label", path)
        for skeleton in track.iter("skeleton"):
            frame = int(_number(skeleton, "frame", path))
            if skeleton.get("outside") != "1":
                frames.setdefault(frame, []).append((number, label, skeleton))
    found = root.find(".//original_size")
    size = [0, 0] if found is None else [int(found.findtext(side) or 0) for side in ("width", "height")]
    for frame, skeletons in sorted(frames.items()):
        image = builder.add_image(f"frame_{frame:06d}.PNG", size)
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
        text = _text(point, "points", path)
        numbers = re.fullmatch(r"\s*([-+.\deE]+),([-+.\deE]+)\s*", text)
        try:
            x, y = map(float, numbers.groups() if numbers is not None else ())
        except ValueError:
            raise DataError(f"{show_name(path)}: points are '{text:.40}', expected x,y of one") from None
        points[_text(point, "label", path)] = (x, y, 1 if point.get("occluded") == "1" else 2)
    bbox = None if box is None else _read_box(box, path)
    label = label or _text(skeleton, "label", path)
    builder.add_person(image, points, label, bbox=bbox, track_id=track_id)


def _read_box(box: _Element, path: Path) -> list[float]:
    left, top, right, bottom = (_number(box, side, path) for side in ("xtl", "ytl", "xbr", "ybr"))
    return [left, top, right - left, bottom - top]


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
        return float(text)
    except ValueError:
        raise DataError(
            f"{show_name(path)}: <{element.tag}> has {name}='{text}', expected a number"
        ) from None


def write_cvat(path: Path, labels: Labels) -> None:
    """An annotations.xml of images, for a task whose labels are skeletons of these keypoints."""
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
