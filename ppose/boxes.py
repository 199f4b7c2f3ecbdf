"""Reads people's boxes from files of detections or annotations, for `--boxes` and `bbox_file` alike."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppose.annotations import PERSON, Images, match_key, read_images
from ppose.annotations.columns import TRUE_TEXTS
from ppose.annotations.numbers import to_numbers
from ppose.errors import DataError
from ppose.files import read_json
from ppose.paths import compose_name, show_name

DET_THRESHOLD = 0.5  # lowest score of a person, unless the user sets another

_logger = logging.getLogger(__name__)

_PERSON = "person"
_FORM = (
    'expected a JSON list of {"image": "name.jpg", "bbox": [x, y, width, height]}, or with "image_id" '
    'instead of "image" (COCO\'s results format), or COCO annotations'
)
_SHOWN = 3


@dataclass(frozen=True)
class PeopleBoxes:
    """N boxes: ``rows`` (N,) of their images, ``bboxes_xywh`` (N, 4), ``scores`` (N,), 1 if not given.

    ``categories`` (N) are ids in the form of `match_key`, or names; None if not given.
    ``sizes`` are width and height of each image as COCO annotations state them, (0, 0) if unknown.
    """

    rows: np.ndarray
    bboxes_xywh: np.ndarray
    scores: np.ndarray
    categories: list[Any]
    sizes: list[tuple[int, int]]


def read_people_boxes(
    path: str | Path,
    file_names: Sequence[str],
    ids: Sequence[Any] | None = None,
    *,
    classes: Sequence[int | str] | None = None,
    annotated: Mapping[Any, str] | None = None,
    threshold: float = DET_THRESHOLD,
) -> PeopleBoxes:
    """Read the boxes of people in these images, in the file's order.

    The file is a list of {"image" or "file_name" or "image_id", "bbox" (x, y, width, height in pixels),
    "score", "category_id"}, or COCO annotations, whose images are matched by name. A box belongs to the image
    with the name it gives (full name, base name or stem); else to the image with its id among ``ids``, a
    number or a text, zero-padded or not. Without ``ids``, or if no box names one of them, it belongs to the
    image whose stem is this id.

    People are the category named `person`, or 1, or ``classes`` (names or ids), or the categories of
    ``annotated`` (names by ids), matched by name or else by id; boxes without a category are people. Crowds,
    annotations without a box, scores below ``threshold`` and boxes smaller than a pixel are left out, and
    counted in a warning. With ``ids`` a box of another image is a DataError; without them it is left out.
    Raises DataError also for a file of another form, and if no box is left.
    """
    where, content = show_name(path), read_json(path, "box file (--boxes, bbox_file)")
    known = read_images(content, where)[0] if isinstance(content, Mapping) else None
    entries = _read_entries(content, known, where)
    category = _choose_category(content, entries, classes, annotated or {}, where)
    images = _Images(file_names, ids, entries)
    nothing = [np.nan] * 4
    boxes = np.array([entry.get("bbox", nothing) for entry in entries], np.float64).reshape(-1, 4)
    scores = np.array([entry["score"] for entry in entries], np.float64)
    rows = np.array([images.find(entry) for entry in entries], np.int64)
    wanted = np.array([category.has(entry) for entry in entries], bool)
    single = np.array([not _is_true(entry.get("iscrowd")) for entry in entries], bool)
    strange = (rows < 0) & wanted & single & (scores >= threshold)
    strangers = list(dict.fromkeys(_name_of(entries[index]) for index in np.flatnonzero(strange)))
    if strangers and ids is not None:
        raise DataError(
            f"{where}: {len(strangers)} of its images, such as {_list(strangers)}, are not in {images.text}"
        )
    used = _keep(
        {
            f"of another category than {category.text}": wanted,
            "crowds": single,
            "without a box": np.array(["bbox" in entry for entry in entries], bool),
            f"with a score below {threshold:g}": scores >= threshold,
            f"of images ({_list(strangers)}) that are not {images.text}": rows >= 0,
            "smaller than a pixel": np.isfinite(boxes).all(axis=1) & (boxes[:, 2:].min(axis=1) >= 1),
        },
        where,
    )
    kinds = [_key(entries[index].get("category_id")) for index in used.tolist()]
    return PeopleBoxes(rows[used], boxes[used], scores[used], kinds, _find_sizes(file_names, known))


def _keep(passing: Mapping[str, np.ndarray], where: str) -> np.ndarray:
    """Return the indexes of the boxes that pass all tests; count the others by the first test they fail."""
    kept, reasons = np.ones(len(next(iter(passing.values()))), bool), []
    for reason, passes in passing.items():
        if lost := int((kept & ~passes).sum()):
            reasons.append(f"{lost} {reason}")
        kept &= passes
    total, left = len(kept), int(kept.sum())
    if not left:
        raise DataError(
            f"{where}: none of its boxes can be used, of {total}: {'; '.join(reasons) or 'it has none'} "
            "(bbox is in pixels: x, y, width, height)"
        )
    if reasons:
        _logger.warning("%s: %d of %d boxes left out: %s", where, total - left, total, "; ".join(reasons))
    return np.flatnonzero(kept)


def _find_sizes(file_names: Sequence[str], known: Images | None) -> list[tuple[int, int]]:
    if known is None:
        return [(0, 0)] * len(file_names)
    sizes = {Path(name).name: known.size(row) for row, name in enumerate(known.file_names)}
    return [sizes.get(Path(name).name, (0, 0)) for name in file_names]


def _read_entries(content: Any, images: Images | None, where: str) -> list[Mapping[str, Any]]:
    """The boxes of a file, checked, with "bbox" and "score" as numbers.

    Annotations (their ``images`` are given) get their image's name; those without a box have no "bbox".
    """
    entries = content
    if images is not None:
        files = {match_key(image): name for image, name in zip(images.ids, images.file_names, strict=True)}
        given = content.get("annotations")
        boxes = [box for box in (given if isinstance(given, list) else []) if isinstance(box, Mapping)]
        entries = [_name_image(box, files) for box in boxes]
    if not isinstance(entries, list):
        raise DataError(f"{where}: {_FORM}")
    read: list[Mapping[str, Any]] = []
    for index, entry in enumerate(entries):
        problem = _problem_of(entry, needs_box=entries is content)
        if problem is not None:
            raise DataError(f"{where}: {_FORM}; [{index}]: {problem}")
        box, score = entry.get("bbox"), entry.get("score")
        numbers: dict[str, Any] = {"score": 1.0 if score is None else to_numbers(score)[0]}
        if box:
            numbers["bbox"] = to_numbers(box)
        read.append({**{key: value for key, value in entry.items() if key != "bbox"}, **numbers})
    return read


def _name_image(box: Mapping[str, Any], files: Mapping[Any, Any]) -> Mapping[str, Any]:
    """Replace an annotation's image id, which only this file knows, by the image's name."""
    key = _key(box.get("image_id"))
    if key is None:
        return box
    return {"image": files.get(key, ""), **{name: value for name, value in box.items() if name != "image_id"}}


def _problem_of(entry: Any, *, needs_box: bool) -> str | None:
    if not isinstance(entry, Mapping):
        return f"got {entry!r}"
    box, score = entry.get("bbox"), entry.get("score")
    is_box = _count_numbers(box) == 4 if box or needs_box else True
    is_score = score is None or (
        not isinstance(score, bool) and _count_numbers(score) == 1 and math.isfinite(to_numbers(score)[0])
    )
    if not is_box or not is_score:
        return "expected bbox [x, y, width, height] and a score, in numbers"
    names = [entry[key] for key in ("image", "file_name") if key in entry]
    if not all(isinstance(name, str) for name in names):
        return f"expected the name of a file, got {names[0]!r}"
    image_id = entry.get("image_id", "")
    if not (isinstance(image_id, str) or _is_number(image_id)) or ("image_id" not in entry and not names):
        return f"image ids are not all numbers or texts: {entry.get('image_id')!r}"
    return None


@dataclass(frozen=True)
class _Category:
    """The categories of people: their ids, and a text for messages."""

    ids: frozenset[Any]
    text: str

    def has(self, entry: Mapping[str, Any]) -> bool:
        kind = entry.get("category_id")
        return kind is None or _key(kind) in self.ids


def _choose_category(
    content: Any,
    entries: Sequence[Mapping[str, Any]],
    classes: Sequence[int | str] | None,
    annotated: Mapping[Any, str],
    where: str,
) -> _Category:
    listed = content.get("categories") if isinstance(content, Mapping) else None
    listed = [c for c in listed if isinstance(c, Mapping)] if isinstance(listed, list) else []
    names = {_key(category.get("id")): str(category.get("name")) for category in listed}
    kinds = dict.fromkeys(_key(e["category_id"]) for e in entries if e.get("category_id") is not None)
    known = {kind: names.get(kind, str(kind)) for kind in (*names, *kinds)}
    has = f"the file has {_list([t if t == str(k) else f'{k} {t}' for k, t in known.items()], len(known))}"

    def find_named(wanted: Iterable[Any]) -> set[Any]:
        plain = {str(name).strip().casefold() for name in wanted}
        return {kind for kind, name in known.items() if name.strip().casefold() in plain}

    if classes is not None:
        chosen = {_key(asked) for asked in classes} | find_named(classes)
    elif annotated:
        chosen = find_named(annotated.values()) or {*map(_key, annotated)}
    elif names:
        chosen = find_named([_PERSON])
        if not chosen and len(kinds) > 1:
            raise DataError(f"{where}: no category is called '{_PERSON}', choose by --det_class: {has}")
        chosen = chosen or set(kinds)  # a single kind is people, whatever it is called
    else:
        chosen = {PERSON, *find_named([_PERSON])}
    shown = classes or sorted(str(known.get(kind, kind)) for kind in chosen)
    text = ", ".join(dict.fromkeys(map(str, shown))) or _PERSON
    if not chosen & {*kinds}:
        choice = "" if annotated else ": --det_class chooses"  # a config's dataset has no flags
        return _Category(frozenset(chosen), f"{text} ({has}{choice})")
    return _Category(frozenset(chosen), f"{text} ({has})" if len(kinds) > 1 else text)


class _Images:
    """Finds the rows of images by the names or ids in boxes; ``text`` describes the images in messages."""

    def __init__(
        self, file_names: Sequence[str], ids: Sequence[Any] | None, entries: Sequence[Mapping[str, Any]]
    ) -> None:
        self._ids = _index([[_key(each)] for each in ids or ()])
        by_id = any(_key(entry["image_id"]) in self._ids for entry in entries if "image_id" in entry)
        self._is_by_id = by_id
        file_names = list(map(compose_name, file_names))
        ends = [name.rpartition("/")[2] for name in file_names]
        self._tables = (
            _index([{name, show_name(name)} for name in file_names]),
            _index([{end, show_name(end)} for end in ends]),
            _index([{stem, show_name(stem), _key(stem)} for stem in (Path(end).stem for end in ends)]),
        )
        example = show_name(ends[0]) if ends else "none"
        self.text = f"the images here, such as {f'{ids[0]} ({example})' if ids else example}"

    def find(self, entry: Mapping[str, Any]) -> int:
        """The row of a box's image; -1 if none matches, or several."""
        given = "image" in entry or "file_name" in entry
        by_id = self._ids.get(_key(entry.get("image_id")), -1) if self._is_by_id else -1
        if self._is_by_id and not given:
            return by_id
        name = compose_name(_name_of(entry))
        end = name.replace("\\", "/").rpartition("/")[2]
        stem = Path(end).stem if given else _key(name)
        for table, called in zip((*self._tables, self._tables[2]), (name, end, stem, end), strict=True):
            if table.get(called, -1) >= 0:
                return table[called]
        return by_id


def _index(names: Sequence[Iterable[Any]]) -> dict[Any, int]:
    """Rows by name; -1 for a name that several rows share."""
    index: dict[Any, int] = {}
    for row, own in enumerate(names):
        for name in own:
            index[name] = -1 if name in index else row
    return index


def _name_of(entry: Mapping[str, Any]) -> str:
    given = entry.get("image", entry.get("file_name"))
    return str(_key(entry["image_id"])) if given is None else given


def _key(value: Any) -> Any:
    """An id to compare, see `match_key`; None if it is no id."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return match_key(value) if isinstance(value, int | str) else value if isinstance(value, float) else None


def _count_numbers(value: Any) -> int:
    """How many numbers a value holds; 0 if it holds anything else."""
    try:
        return len(to_numbers(value))
    except (ValueError, TypeError, RecursionError):
        return 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_true(value: Any) -> bool:
    return str(value).strip().casefold() in TRUE_TEXTS


def _list(names: Sequence[str], most: int = _SHOWN) -> str:
    return ", ".join(show_name(name) for name in names[:most]) + (", ..." if len(names) > most else "")
