"""Reads the columns of `People` from the annotations of a file."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ppose.annotations.ids import Id, id_array, match_key, read_id
from ppose.annotations.names import keypoint_names, order_keypoints, unnamed_count
from ppose.annotations.numbers import read_plain_row, read_rows, to_numbers
from ppose.annotations.people import Images, People
from ppose.errors import DataError
from ppose.keypoints import KeypointSet

# A person's share of its box if annotations have no area, as in xtcocotools (its use_area=False).
AREA_OF_BOX = 0.53
# A box computed from keypoints is larger than the tight one: times a crop's 1.25 that makes 1.5, the factor
# that the official HRNet code uses around half a body's keypoints.
_BOX_OF_KEYPOINTS = 1.5 / 1.25

_LARGEST_AREA = 1e18
TRUE_TEXTS, _FALSE_TEXTS = ("1", "true", "yes", "1.0"), ("", "0", "false", "no", "0.0", "none", "null")


def find_images(entries: Sequence[Mapping[str, Any]], images: Images, where: str) -> np.ndarray:
    """The rows (N,) of the annotations' images, -1 for images that are not listed.

    Raises DataError for an annotation without image_id, and if no annotation is of a listed image.
    """
    index = images.index()
    rows = np.zeros(len(entries), np.int64)
    for number, entry in enumerate(entries):
        if "image_id" not in entry:
            raise DataError(f"{_name_entry(entries, number, where)}: has no image_id")
        image = entry["image_id"]
        if type(image) is not int:
            image = match_key(read_id(image, f"{_name_entry(entries, number, where)}: image_id"))
        rows[number] = index.get(image, -1)
    if len(rows) and (rows < 0).all():
        listed = f"images have ids such as {images.ids[0]}" if len(images) else "list of images is empty"
        raise DataError(
            f"{_name_entry(entries, 0, where)} is of image {entries[0]['image_id']}, which is not listed; "
            f"neither are the other annotations' images: the file's {listed}"
        )
    return rows


def _name_entry(entries: Sequence[Mapping[str, Any]], index: int, where: str) -> str:
    return f"{where}: annotation {entries[index].get('id', f'number {index}')}"


class PersonColumns:
    """Reads the people of one file; ``notes`` then lists what was filled in or reordered."""

    def __init__(
        self, keypoint_set: KeypointSet, where: str, categories: Mapping[Id, Mapping[str, Any]]
    ) -> None:
        self._set, self._where, self._categories = keypoint_set, where, categories
        self._entries: Sequence[Mapping[str, Any]] = ()
        self.notes: list[str] = []

    def read(self, entries: Sequence[Mapping[str, Any]], keys: Sequence[Id], rows: np.ndarray) -> People:
        """The people of these annotations; nobody is left out yet.

        ``keys`` are their categories' ids, ``rows`` their images' rows, see `find_images`.
        """
        self._entries = entries
        points = self._read_points(keys)
        keypoints, visibility = points[..., :2].copy(), points[..., 2].astype(np.float32)
        boxes = self._read_boxes(keypoints, visibility)
        return People(
            ids=id_array([self._own_id(index) for index in range(len(entries))]),
            images=rows,
            category_ids=id_array([self._own_category(key) for key in keys]),
            bboxes_xywh=boxes,
            keypoints=keypoints,
            visibility=visibility,
            num_keypoints=self._read_counts(visibility),
            areas=self._read_areas(boxes),
            is_crowd=np.array([self._read_crowd(i, e.get("iscrowd")) for i, e in enumerate(entries)], bool),
            poses=self._read_poses(),
            tracks=np.array([_read_track(entry.get("track_id")) for entry in entries], np.int64),
            left_out=np.zeros(len(entries), np.int8),
        )

    def _entry(self, index: int) -> str:
        return _name_entry(self._entries, index, self._where)

    def _own_id(self, index: int) -> Id:
        own = self._entries[index].get("id", index)
        return own if type(own) is int else read_id(own, self._entry(index))

    def _own_category(self, key: Id) -> Id:
        own = self._categories.get(key, {}).get("id", key)
        return own if type(own) is int else read_id(own, self._where)

    def _read_points(self, keys: Sequence[Id]) -> np.ndarray:
        """x, y and visibility (N, K, 3), in the set's order."""
        points = np.zeros((len(self._entries), self._set.num_keypoints, 3))
        by_category: dict[Id, list[int]] = {}
        for index, key in enumerate(keys):
            by_category.setdefault(key, []).append(index)
        for key, rows in by_category.items():
            names = keypoint_names(self._categories.get(key))
            order, count, note = order_keypoints(names, self._set, self._where)
            if not names:
                count = unnamed_count(self._set, self._first_length(rows))
            points[rows] = self._read_category(rows, count)[:, order]
            if note is not None and note not in self.notes:
                self.notes.append(note)
        return points

    def _first_length(self, rows: Sequence[int]) -> int:
        lengths = (len(self._entries[row].get("keypoints") or ()) for row in rows)
        return next(filter(None, lengths), 0)

    def _read_category(self, rows: Sequence[int], count: int) -> np.ndarray:
        nothing = [0] * (3 * count)
        values = [self._entries[row].get("keypoints") or nothing for row in rows]
        read = read_rows(values, 3 * count, lambda i: self._read_person(rows[i], values[i], count))
        return read.reshape(len(rows), count, 3)

    def _read_person(self, index: int, value: Any, count: int) -> Sequence[float]:
        """Read keypoints that are not plain flat numbers: nested, pairs, texts, null if not labelled."""
        problem = f"{self._entry(index)}: keypoints are not {3 * count} numbers: x, y and visibility of each"
        try:
            value = json.loads(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
            if isinstance(value, list) and len(value) == count:  # one entry per keypoint
                value = [[None] * 3 if point is None else _complete(point) for point in value]
            numbers = to_numbers(value)
        except (ValueError, TypeError, RecursionError):
            raise DataError(problem) from None
        if not numbers:
            return [0] * (3 * count)
        if len(numbers) == 2 * count:
            numbers = [v for pair in np.reshape(numbers, (-1, 2)).tolist() for v in _complete(pair)]
        if len(numbers) != 3 * count:
            raise DataError(self._wrong_count(index, len(numbers) / 3, count))
        if _is_nested(value) and len(value) not in (1, count):  # all x, then all y
            raise DataError(problem)
        if _has_null(value):
            triplets = np.reshape(numbers, (-1, 3))
            triplets[np.isnan(triplets).any(axis=1)] = 0
            numbers = triplets.ravel().tolist()
        return read_plain_row(numbers, 3 * count, problem)

    def _wrong_count(self, index: int, got: float, count: int) -> str:
        if count != self._set.num_keypoints:
            return f"{self._entry(index)} has {got:g} keypoints, its category names {count}"
        return (
            f"{self._entry(index)} has {got:g} keypoints, the keypoint set '{self._set.name}' has {count}: "
            "list the file's keypoints, in its order, as names in the config's KeypointSet block, and set "
            "num_joints to their number"
        )

    def _read_boxes(self, keypoints: np.ndarray, visibility: np.ndarray) -> np.ndarray:
        """bboxes_xywh (N, 4); missing ones are computed from the labelled keypoints."""
        given = [entry.get("bbox") for entry in self._entries]
        is_missing = np.array([box is None or box in ([], "", "[]") for box in given], bool)
        if is_missing.any():
            given = [[0] * 4 if missing else box for box, missing in zip(given, is_missing, strict=True)]

        def read_box(index: int) -> list[float]:
            problem = f"{self._entry(index)}: bbox is {given[index]!r}, expected [x, y, width, height]"
            return read_plain_row(given[index], 4, problem)

        boxes = read_rows(given, 4, read_box)
        is_missing &= (visibility > 0).any(axis=1)
        if is_missing.any():
            boxes[is_missing] = _boxes_of(keypoints[is_missing], visibility[is_missing] > 0)
            self.notes.append(f"boxes of {is_missing.sum()} computed from their keypoints")
        return boxes

    def _read_counts(self, visibility: np.ndarray) -> np.ndarray:
        """The file's own num_keypoints if it has them: CrowdPose counts v = 2 only."""
        counted = (visibility > 0).sum(axis=1)
        own = self._read_column("num_keypoints", -1)
        # Some tools write 0 for everybody, which has no meaning.
        if not (own > 0).any():
            return counted
        return np.where((own < 0) | (counted == 0), counted, own).astype(np.int64)

    def _read_poses(self) -> np.ndarray:
        """Poses in space (N, 7), as `ppose synthesize` writes them: {quaternion, translation}."""
        poses = np.full((len(self._entries), 7), np.nan)
        for index, pose in enumerate(entry.get("pose") for entry in self._entries):
            if isinstance(pose, Mapping) and "quaternion" in pose and "translation" in pose:
                problem = f"{self._entry(index)}: pose is {pose!r}, expected a quaternion of 4 numbers and a "
                problem += "translation of 3, neither all 0"
                poses[index] = read_plain_row([pose["quaternion"], pose["translation"]], 7, problem)
                if not poses[index, :4].any() or not poses[index, 4:].any():
                    raise DataError(problem)
        return poses

    def _read_areas(self, boxes: np.ndarray) -> np.ndarray:
        own = self._read_column("area", np.nan)
        of_boxes = boxes[:, 2:].prod(axis=1)
        is_lacking = (own <= 0) & (boxes[:, 2:] > 0).all(axis=1)
        if is_lacking.any():
            what = "0 or less" if (own < 0).any() else "0"
            self.notes.append(f"area of {is_lacking.sum()} is {what}: taken from their boxes")
        return np.where(own > 0, own, of_boxes * AREA_OF_BOX)

    def _read_column(self, name: str, missing: float) -> np.ndarray:
        given = [entry.get(name) for entry in self._entries]

        def read_number(index: int) -> list[float]:
            if given[index] in (None, ""):
                return [missing]
            problem = f"{self._entry(index)}: {name} is {given[index]!r}, expected a number"
            return read_plain_row(given[index], 1, problem, largest=_LARGEST_AREA)

        return read_rows([[value] for value in given], 1, read_number, largest=_LARGEST_AREA)[:, 0]

    def _read_crowd(self, index: int, value: Any) -> bool:
        if value is None or isinstance(value, bool | int):
            return bool(value)
        text = str(value).strip().casefold()
        if text not in (*TRUE_TEXTS, *_FALSE_TEXTS):
            raise DataError(f"{self._entry(index)}: iscrowd is {value!r}, expected 0 or 1")
        return text in TRUE_TEXTS


def _read_track(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**62 else -1


def _complete(point: Any) -> Any:
    """Add the visibility to a keypoint that has only x and y: a point at 0, 0 is not labelled."""
    if not isinstance(point, list) or len(point) != 2:
        return point
    return [*point, 0 if all(number in (0, None, "0") for number in point) else 2]


def _is_nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(part, list) for part in value)


def _has_null(value: Any) -> bool:
    return any(_has_null(part) for part in value) if isinstance(value, list) else value is None


def _boxes_of(keypoints: np.ndarray, is_labelled: np.ndarray) -> np.ndarray:
    """bboxes_xywh (N, 4) around the labelled keypoints, of (N, K, 2)."""
    low = np.where(is_labelled[..., None], keypoints, np.inf).min(axis=1)
    high = np.where(is_labelled[..., None], keypoints, -np.inf).max(axis=1)
    size = (high - low) * _BOX_OF_KEYPOINTS
    return np.concatenate([(low + high - size) / 2, size], axis=1)
