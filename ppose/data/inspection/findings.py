"""Finds what is wrong or odd in the people and images of a dataset."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ppose.annotations import People
from ppose.data.coco import KeypointTopDownCocoDataset
from ppose.data.inspection.left_right import find_swapped
from ppose.errors import DataError
from ppose.files import file_digest
from ppose.keypoints import KeypointSet
from ppose.paths import show_name
from ppose.transforms import read_annotated

Level = Literal["wrong", "odd"]

_TINY = 20**2  # square pixels
_BEYOND_BOX = 0.1  # share of the box's sides by which a keypoint may lie outside
_BEYOND_IMAGE = 1.0  # pixels


@dataclass(frozen=True)
class Finding:
    """One kind of fault: ``examples`` are ids or files, as text.

    ``people`` are rows of the used people, for faults of people. "wrong" costs quality or ends a training;
    "odd" may be intended.
    """

    kind: str
    level: Level
    examples: Sequence[str]
    people: Sequence[int] = ()

    @property
    def count(self) -> int:
        """The number of people or images with this fault."""
        return len(self.examples)


def inspect_people(dataset: KeypointTopDownCocoDataset, keypoint_set: KeypointSet) -> list[Finding]:
    """Find faults of the used people in the annotations alone."""
    annotations = dataset.annotations
    if annotations.people is None:
        return []
    people = annotations.people.take(annotations.people.used)
    known = people.visibility > 0
    in_sight = known & (people.visibility == people.visibility.max(initial=0))
    low, size = np.split(people.bboxes_xywh, 2, axis=1)
    margin = _BEYOND_BOX * size
    sizes = annotations.images.limits(people.images)
    outside_box = _beyond(people.keypoints, low - margin, low + size + margin)
    outside_image = _beyond(people.keypoints, -_BEYOND_IMAGE, sizes - 1 + _BEYOND_IMAGE)
    swapped = find_swapped(people, keypoint_set)
    in_parts = np.where(known[..., None], people.keypoints, 0).max(initial=0) <= 1
    ids = [str(own) for own in people.ids.tolist()]

    def of(kind: str, level: Level, rows: Iterable[int], words: Callable[[int], str]) -> Finding:
        rows = list(rows)
        return Finding(kind, level, [words(row) for row in rows], rows)

    findings = [
        of(
            "keypoints from 0 to 1, not in pixels",
            "wrong",
            range(len(people) * bool(in_parts)),
            ids.__getitem__,
        ),
        of("left and right look swapped", "wrong", swapped, lambda row: f"{ids[row]} ({swapped[row]})"),
        of("annotated twice", "wrong", _repeated(people), ids.__getitem__),
        of("keypoints outside of the image", "wrong", _any(outside_image & known), ids.__getitem__),
        of("keypoints outside of the box", "odd", _any(outside_box & in_sight), ids.__getitem__),
        of("box below 20 x 20 pixels", "odd", np.flatnonzero(size.prod(axis=1) < _TINY), ids.__getitem__),
    ]
    never = [keypoint_set.names[index] for index in np.flatnonzero(~np.asarray(known.any(axis=0)))]
    findings.append(Finding("keypoints that nobody has", "odd", never))
    return [finding for finding in findings if finding.count]


def _beyond(points: np.ndarray, low: np.ndarray | float, high: np.ndarray) -> np.ndarray:
    """Whether points (N, K, 2) lie outside the corners (N, 2): (N, K)."""
    lowest = low if isinstance(low, float) else low[:, None]
    return np.any((points < lowest) | (points > high[:, None]), axis=-1)


def _any(of_keypoints: np.ndarray) -> np.ndarray:
    return np.flatnonzero(of_keypoints.any(axis=1))


def _repeated(people: People) -> list[int]:
    """People with the same image and keypoints as an earlier person."""
    first: dict[tuple[int, bytes], int] = {}
    keys = zip(people.images.tolist(), people.keypoints, strict=True)
    return [
        row
        for row, (image, points) in enumerate(keys)
        if first.setdefault((image, points.tobytes()), row) != row
    ]


class ImageInspection:
    """Reads all images of a dataset; ``digests`` then has the files' names by their content."""

    def __init__(self, dataset: KeypointTopDownCocoDataset) -> None:
        self._dataset = dataset
        self.digests: dict[str, list[str]] = {}

    def run(self, progress: Callable[[Sequence[int]], Iterable[int]]) -> list[Finding]:
        """Find faults in the images with people; ``progress`` wraps the iteration over them."""
        images, unreadable, resized = self._dataset.annotations.images, [], []
        for row in progress(self._dataset.image_rows()):
            name = show_name(images.file_names[row])
            path, size = self._dataset.image_file(row), images.size(row)
            try:
                image, agrees = read_annotated(path, size, use_exif=self._dataset.use_exif)
            except DataError as error:
                unreadable.append(str(error))
                continue
            if not agrees:
                height, width = image.shape[:2]
                resized.append(f"{name} ({width} x {height}, stated {size[0]} x {size[1]})")
            self.digests.setdefault(file_digest(path), []).append(name)
        doubles = [" = ".join(names) for names in self.digests.values() if len(names) > 1]
        findings = [
            Finding("images that cannot be read", "wrong", unreadable),
            Finding("images of another size", "wrong", resized),
            Finding("images that are the same", "wrong", doubles),
        ]
        return [finding for finding in findings if finding.count]


def find_shared_images(one: ImageInspection, other: ImageInspection, name: str) -> list[Finding]:
    """Images of one dataset that are also in another, called ``name``, by content."""
    shared = [one.digests[digest][0] for digest in one.digests if digest in other.digests]
    return [Finding(f"images that are in {name} too", "wrong", shared)] if shared else []
