"""Reads annotation files in COCO's format and its dialects, which docs/annotations.md lists."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ppose.annotations.columns import PersonColumns, find_images
from ppose.annotations.ids import Id, id_array, match_key, read_id, read_ids
from ppose.annotations.names import choose_categories, describe_unlisted, keypoint_names, name_of
from ppose.annotations.numbers import LARGEST, read_plain_row, read_rows, to_numbers
from ppose.annotations.oddities import describe_oddities
from ppose.annotations.people import (
    CROWD,
    NAMELESS,
    NO_EXTENT,
    OUTSIDE,
    UNCOUNTED,
    UNLABELLED,
    Annotations,
    Images,
    People,
)
from ppose.errors import DataError
from ppose.files import read_json, without_garbage
from ppose.geometry import clip_boxes_xywh
from ppose.keypoints import KeypointSet
from ppose.paths import show_name

PERSON = 1  # the category of people in COCO, and in files without categories

# Keys that all entries of one image must share.
_IDENTITY = ("file_name", "width", "height")

FindSize = Callable[[str], tuple[int, int] | None]


def read_annotations(
    source: str | Path | Mapping[str, Any],
    keypoint_set: KeypointSet,
    *,
    categories: Sequence[Id] | None = None,
    find_size: FindSize | None = None,
    needs_people: bool = True,
    where: str | None = None,
) -> Annotations:
    """Read the images and people of an annotation file, or of its content, which stays unchanged.

    ``where`` names content in messages.

    ``categories`` chooses by names or ids, see `choose_categories`. ``find_size`` returns width and height of
    an image file, or None; it is called if the annotations lack them. Without ``needs_people`` a list of
    images suffices. Raises DataError that names the file, the wrong entry, and what was expected.
    """
    where = where or ("the annotations" if isinstance(source, Mapping) else str(source))
    with without_garbage():
        content = source if isinstance(source, Mapping) else read_json(source, "annotation file")
        try:
            return _read_content(content, keypoint_set, where, categories, find_size, needs_people)
        except DataError as error:  # its names of files, categories and keypoints may contain anything
            raise DataError(show_name(str(error))) from None


def _read_content(
    content: Any,
    keypoint_set: KeypointSet,
    where: str,
    categories: Sequence[Id] | None,
    find_size: FindSize | None,
    needs_people: bool,
) -> Annotations:
    images, notes = read_images(content, where)
    entries = content.get("annotations") or []
    if not isinstance(entries, list):
        raise DataError(f"{where}: 'annotations' is not a list")
    for index, entry in enumerate(entries):
        if type(entry) is not dict and not isinstance(entry, Mapping):
            raise DataError(f"{where}: annotations[{index}]: got {entry!r}, expected an object in braces")
    listed = _list_categories(content, where)
    of_entries = _category_keys(entries, where)
    labelled = Counter(key for key, e in zip(of_entries, entries, strict=True) if has_keypoints(e))
    if not labelled:
        if needs_people:
            raise _no_keypoints(where)
        return Annotations(where, images, None, notes=notes)
    notes += describe_unlisted(listed, labelled)
    chosen = choose_categories(listed, labelled, keypoint_set, categories, where)
    columns = PersonColumns(keypoint_set, where, listed)
    kept = set(chosen)
    rows = np.array([row for row, key in enumerate(of_entries) if key in kept], np.int64)
    of_images = find_images([entries[row] for row in rows], images, where)
    is_listed = of_images >= 0
    found = rows[is_listed].tolist()
    people = columns.read(
        [entries[row] for row in found], [of_entries[row] for row in found], of_images[is_listed]
    )
    if find_size is not None:
        _find_sizes(images, people, find_size)
    people = _leave_out(people, images)
    return Annotations(
        where,
        images,
        people,
        {key: name_of(listed.get(key), key) for key in chosen},
        _count_others(of_entries, kept, listed),
        [*notes, *columns.notes, *describe_oddities(people, images)],
        strays=len(rows) - len(found),
    )


def has_keypoints(entry: Mapping[str, Any]) -> bool:
    """Whether an annotation has a list of keypoints that is not empty."""
    keypoints = entry.get("keypoints")
    return bool(keypoints) and keypoints != "[]"


def read_images(content: Any, where: str) -> tuple[Images, list[str]]:
    """The images of a file's content, and notes to report; DataError if one id stands for two files."""
    entries = content.get("images") if isinstance(content, Mapping) else None
    if not isinstance(entries, list):
        raise DataError(
            f"{where}: not a COCO annotation file: it has no list 'images' (`ppose convert` reads "
            "other formats)"
        )
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise DataError(f"{where}: images[{index}]: got {entry!r}, expected an object in braces")
        if "id" not in entry:
            raise DataError(f"{where}: images[{index}]: has no id")
    ids = read_ids([entry["id"] for entry in entries], "image", where)
    first: dict[Id, int] = {}
    for row, image in enumerate(ids):
        before = first.setdefault(match_key(image), row)
        one, other = entries[before], entries[row]
        if before == row or all(one.get(key) == other.get(key) for key in _IDENTITY):
            continue
        is_named = one.get("file_name") != other.get("file_name")
        kind, of = ("files", _IDENTITY[:1]) if is_named else (f"sizes of {one['file_name']}", _IDENTITY[1:])
        first_one, second = (" x ".join(str(entry.get(key)) for key in of) for entry in (one, other))
        raise DataError(
            f"{where}: the image id {image!r} stands for two {kind}, {first_one} and {second}: "
            "were two exports joined? Renumber the images and annotations of one of them"
        )
    notes = []
    if len(first) < len(ids):
        notes.append(f"{len(ids) - len(first)} images are listed twice")
        entries = [entries[row] for row in first.values()]
        ids = [ids[row] for row in first.values()]
    for index, entry in enumerate(entries):
        if not isinstance(entry.get("file_name", ""), str | None):
            raise _bad_image(where, index)
    names = [entry.get("file_name") or "" for entry in entries]
    crowd_indexes = _read_crowd_indexes(entries, where)
    images = Images(id_array(ids), names, _read_sizes(entries, where), crowd_indexes)
    return images, notes + _find_namesakes(images, where)


def _find_namesakes(images: Images, where: str) -> list[str]:
    """Notes on images that share a name but not the id; DataError if their sizes differ."""
    if len(set(images.file_names)) == len(images):
        return []
    first: dict[str, int] = {}
    doubles = []
    for row, name in enumerate(images.file_names):
        before = first.setdefault(name, row)
        if before == row or not name:
            continue
        ids = f"{images.ids[before]} and {images.ids[row]}"
        one, other = images.size(before), images.size(row)
        if all(one) and all(other) and one != other:
            sizes = " and ".join(f"{width} x {height}" for width, height in (one, other))
            raise DataError(
                f"{where}: {name} stands for two images, {ids}, of {sizes} pixels: were two exports "
                "joined? Make the names unique, with folders"
            )
        doubles.append(f"{name} ({ids})")
    return [f"{len(doubles)} images have the name of another, such as {doubles[0]}"] if doubles else []


def _read_crowd_indexes(entries: Sequence[Mapping[str, Any]], where: str) -> np.ndarray:
    """CrowdPose's `crowdIndex` of each image (M,), NaN if missing."""
    indexes = np.full(len(entries), np.nan)
    for row, entry in enumerate(entries):
        if "crowdIndex" in entry:
            problem = f"{where}: images[{row}]: crowdIndex is {entry['crowdIndex']!r}, expected a number"
            indexes[row] = read_plain_row([entry["crowdIndex"]], 1, problem)[0]
    return indexes


def _read_sizes(entries: Sequence[Mapping[str, Any]], where: str) -> np.ndarray:
    def read_size(index: int) -> list[float]:
        given = [entries[index].get(side) for side in ("width", "height")]
        if None in given:
            return [0, 0]
        try:
            size = to_numbers(given)
        except (ValueError, TypeError):
            raise _bad_image(where, index) from None
        if len(size) != 2 or not all(0 <= side <= LARGEST for side in size):
            raise _bad_image(where, index)
        return size

    sizes = read_rows([[e.get("width"), e.get("height")] for e in entries], 2, read_size)
    for index in np.flatnonzero((sizes < 0).any(axis=1)):
        raise _bad_image(where, int(index))
    sizes[(sizes < 1).any(axis=1)] = 0
    return sizes.round().astype(np.int64)


def _bad_image(where: str, index: int) -> DataError:
    return DataError(f"{where}: images[{index}]: expected a file_name, and width and height in pixels")


def _no_keypoints(where: str) -> DataError:
    return DataError(
        f"{where}: no annotation has keypoints; is it the person_keypoints file? "
        "An image list works with detected boxes (use_gt_bbox: false)"
    )


def _list_categories(content: Mapping[str, Any], where: str) -> dict[Id, Mapping[str, Any]]:
    listed = content.get("categories") or []
    if not isinstance(listed, list):
        raise DataError(f"{where}: 'categories' is not a list")
    found: dict[Id, Mapping[str, Any]] = {}
    for category in listed:
        if not isinstance(category, Mapping) or "id" not in category:
            continue
        key = match_key(read_id(category["id"], f"{where}: categories"))
        before = found.setdefault(key, category)
        names = [(c.get("name"), keypoint_names(c)) for c in (before, category)]
        if names[0][0] != names[1][0] or (all(points for _, points in names) and names[0] != names[1]):
            raise DataError(
                f"{where}: the category id {category['id']!r} stands for {names[0][0]} and {names[1][0]}, "
                "with different keypoints: were two exports joined?"
            )
        if names[1][1]:
            found[key] = category
    return found


def _category_keys(entries: Sequence[Mapping[str, Any]], where: str) -> list[Id]:
    """The category of each annotation; without one, the only category of the others, or person."""
    given: list[Any] = [entry.get("category_id") for entry in entries]
    if set(map(type, given)) <= {int}:
        return given
    known: dict[int, Id] = {
        index: match_key(read_id(key, f"{where}: annotations[{index}]: category_id"))
        for index, key in enumerate(given)
        if key is not None
    }
    ids = set(known.values())
    default = ids.pop() if len(ids) == 1 else PERSON
    return [known.get(index, default) for index in range(len(given))]


def _count_others(
    keys: Sequence[Id], kept: set[Id], listed: Mapping[Id, Mapping[str, Any]]
) -> dict[str, int]:
    counts = Counter(keys)
    return {name_of(listed.get(key), key): count for key, count in counts.items() if key not in kept}


def _find_sizes(images: Images, people: People, find_size: FindSize) -> None:
    """Look up sizes that the file lacks, for images with people."""
    for row in np.unique(people.images):
        if not images.sizes[row].all() and images.file_names[row]:
            images.sizes[row] = find_size(images.file_names[row]) or (0, 0)


def _leave_out(people: People, images: Images) -> People:
    """Set the reasons why people are left out; the first of `REASONS` counts."""
    _, is_inside = clip_boxes_xywh(people.bboxes_xywh, images.limits(people.images))
    has_extent = (people.bboxes_xywh[:, 2:] > 0).all(axis=1)
    is_named = np.array([bool(name) for name in images.file_names], bool)[people.images]
    for number, applies in (
        (NAMELESS, ~is_named),
        (OUTSIDE, ~is_inside),
        (NO_EXTENT, ~has_extent),
        (UNCOUNTED, people.num_keypoints == 0),
        (UNLABELLED, ~(people.visibility > 0).any(axis=1)),
        (CROWD, people.is_crowd),
    ):
        people.left_out[applies] = number
    return people
