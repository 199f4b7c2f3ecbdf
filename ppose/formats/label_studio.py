"""Label Studio's JSON: tasks with key points and rectangles, in percent of the image."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ppose.errors import DataError
from ppose.files import read_json, write_bytes, write_json
from ppose.formats.labels import ContentBuilder, Labels
from ppose.formats.shapes import Shape, add_shapes, box_around
from ppose.image_files import is_image_name
from ppose.keypoints import KeypointSet

_HIDDEN = "hidden"  # in the text of a point's meta
_POINT, _BOX = "keypointlabels", "rectanglelabels"


def read_label_studio(path: Path, keypoint_set: KeypointSet | None, image_dir: Path | None) -> dict[str, Any]:
    """Read a JSON export (labelstud.io/guide/export): a task's last annotation that was not cancelled.

    A task without annotations counts with its predictions.

    A point belongs to the rectangle of its parentID, else see `add_shapes`; the text `hidden` in its meta
    makes it hidden. An image's name is the last part of its URL, without the prefix of an upload; the URL is
    the entry of the task's data that is named like an image, or the first.
    """
    tasks = read_json(path, "Label Studio file")
    if not isinstance(tasks, list) or not all(isinstance(task, Mapping) for task in tasks):
        raise DataError(f"{path}: expected a list of tasks, as Label Studio exports JSON")
    builder = ContentBuilder()
    if keypoint_set is not None:
        builder.add_names(keypoint_set.names)
    for number, task in enumerate(tasks):
        where = f"{path}: task {task.get('id', number)}"
        data, given = task.get("data"), task.get("annotations") or task.get("predictions", [])
        urls = [v for v in data.values() if isinstance(v, str)] if isinstance(data, Mapping) else []
        if not urls or not isinstance(given, list):
            raise DataError(
                f"{where}: expected data with an image, and annotations: is it the JSON-MIN form?"
            )
        done = [one for one in given if isinstance(one, Mapping) and not one.get("was_cancelled")]
        results = done[-1].get("result") if done else []
        if not isinstance(results, list) or not all(isinstance(one, Mapping) for one in results):
            raise DataError(f"{where}: 'result' is not a list of objects in braces")
        sizes = ((one.get("original_width"), one.get("original_height")) for one in results)
        names = [_name_of(url) for url in urls]
        name = next(filter(is_image_name, names), names[0])
        image = builder.add_image(name, next(filter(all, sizes), (0, 0)))
        add_shapes(builder, image, _read_shapes(results, where, builder), where)
        if len(done) > 1:
            builder.count("tasks with several annotations, the last one used")
    return builder.finish()


def _name_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # an unclosed bracket
        return url
    if not parts.scheme and not url.startswith("/"):
        return url
    local = parse_qs(parts.query).get("d")
    if local:  # /data/local-files/?d=photos/a.jpg
        return unquote(local[0]).rpartition("/")[2]
    name = unquote(parts.path).rpartition("/")[2]
    return re.sub(r"^[0-9a-f]{8}-", "", name) if "/upload/" in parts.path else name


def _read_shapes(results: Sequence[Mapping[str, Any]], where: str, builder: ContentBuilder) -> list[Shape]:
    shapes = []
    for result in results:
        kind, value = str(result.get("type")), result.get("value", {})
        if kind not in (_POINT, _BOX):
            builder.count(f"results of type {kind} skipped")
            continue
        try:
            width, height = float(result["original_width"]) / 100, float(result["original_height"]) / 100
            (label,) = value[kind]
            left, top = value["x"] * width, value["y"] * height
            right, bottom = left + value["width"] * width, top + value.get("height", 0) * height
            turned = float(value.get("rotation") or 0)
            is_hidden = _HIDDEN in ((result.get("meta") or {}).get("text") or [])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError(
                f"{where}: result {result.get('id')}: expected original_width, original_height and a value "
                f"with x, y, width and one of {kind}"
            ) from None
        if result.get("image_rotation"):
            builder.count("shapes of images rotated in Label Studio, read without the rotation")
        if kind == _BOX and turned:
            left, top, right, bottom = box_around(left, top, right, bottom, turned, (left, top))
        group = result.get("id") if kind == _BOX else result.get("parentID")
        values = (left, top, right, bottom) if kind == _BOX else (left, top)
        shapes.append(Shape(str(label), values, group, is_hidden))
    return shapes


def write_label_studio(path: Path, labels: Labels, *, predicted: bool = False) -> None:
    """Write tasks to import, and beside them as .xml the project's labelling interface for these labels.

    ``predicted``: write predictions, for people to accept or correct. `data.image` is the image's name; the
    project must know the images' place.
    """
    labels.require_sizes()
    kind, tasks = "predictions" if predicted else "annotations", []
    for number, (_, name, size, rows) in enumerate(labels.by_image(), 1):
        results: list[dict[str, Any]] = []
        for row in rows:
            results += _make_results(labels, row, size, f"p{number}_{row}")
        tasks.append({"id": number, "data": {"image": name}, kind: [{"result": results}]})
    write_json(path, tasks)
    write_bytes(path.with_suffix(".xml"), _make_interface(labels))


def _make_interface(labels: Labels) -> bytes:
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image")
    for tag, control, names in (
        ("RectangleLabels", "box", dict.fromkeys(labels.annotations.categories.values()) or ["person"]),
        ("KeyPointLabels", "keypoint", labels.keypoint_set.names),
    ):
        element = SubElement(view, tag, name=control, toName="image")
        for name in names:
            SubElement(element, "Label", value=name)
    indent(view)
    return tostring(view)


def _make_results(labels: Labels, row: int, size: tuple[int, int], own: str) -> list[dict[str, Any]]:
    base = {"to_name": "image", "original_width": size[0], "original_height": size[1], "image_rotation": 0}
    x, y, width, height = labels.people.bboxes_xywh[row].tolist()
    share_x, share_y = 100 / size[0], 100 / size[1]
    box = {"x": x * share_x, "y": y * share_y, "width": width * share_x, "height": height * share_y}
    value = {**box, "rotation": 0, _BOX: [labels.category(row)]}
    made = [{**base, "id": own, "from_name": "box", "type": _BOX, "value": value}]
    for index, (name, x, y, hidden) in enumerate(labels.points(row)):
        value = {"x": x * share_x, "y": y * share_y, "width": 0.5, _POINT: [name]}
        point = {**base, "id": f"{own}_{index}", "from_name": "keypoint", "type": _POINT, "value": value}
        made.append({**point, "parentID": own, **({"meta": {"text": [_HIDDEN]}} if hidden else {})})
    return made
