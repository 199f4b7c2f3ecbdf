"""The content of an annotation file as columns: its images, its people, and why people are left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ppose.annotations.ids import Id, match_key
from ppose.paths import show_name

# Why a person is left out; `People.left_out` holds the index of the first true reason, 0 for used people.
REASONS = (
    "",
    "crowd",
    "no labelled keypoint",
    "no keypoint by its own num_keypoints",
    "box without extent",
    "box outside of the image",
    "image without a file name",
)
CROWD, UNLABELLED, UNCOUNTED, NO_EXTENT, OUTSIDE, NAMELESS = range(1, len(REASONS))


@dataclass(frozen=True, eq=False)
class Images:
    """M images: ids (M,) as in the file, file_names (M,), sizes (M, 2) as width, height; 0 if unknown.

    crowd_indexes (M,) are CrowdPose's measure of crowding, NaN for other files.
    """

    ids: np.ndarray
    file_names: list[str]
    sizes: np.ndarray
    crowd_indexes: np.ndarray

    def __len__(self) -> int:
        return len(self.file_names)

    def limits(self, rows: np.ndarray) -> np.ndarray:
        """Sizes (N, 2) of the images of these rows as floats; inf if unknown."""
        sizes = self.sizes[rows].astype(np.float64)
        sizes[~sizes.all(axis=1)] = np.inf
        return sizes

    def size(self, row: int) -> tuple[int, int]:
        """Width and height of one image; 0 if unknown."""
        width, height = self.sizes[row].tolist()
        return width, height

    def index(self) -> dict[Id, int]:
        """The row of each image by its `match_key`."""
        return {match_key(image): row for row, image in enumerate(self.ids.tolist())}


@dataclass(frozen=True, eq=False)
class People:
    """N people of the chosen categories, in the file's order, including those left out.

    ids (N,) and category_ids (N,) are the file's own. images (N,) are rows of `Images`. bboxes_xywh (N, 4) as
    annotated, keypoints (N, K, 2), both in image pixels, visibility (N, K): 0 not labelled, 1 hidden, 2 seen,
    in the order of the keypoint set; unlabelled keypoints keep the file's coordinates. num_keypoints (N,) is
    the file's, or counted. areas (N,) in square pixels; is_crowd (N,) bool. poses (N, 7) are poses of rigid
    objects in space: a quaternion, scalar first, and a translation; NaN if the file has none. tracks (N,)
    identify people across a video's images, -1 if unknown. left_out (N,): an index of `REASONS`, 0 for used
    people.
    """

    ids: np.ndarray
    images: np.ndarray
    category_ids: np.ndarray
    bboxes_xywh: np.ndarray
    keypoints: np.ndarray
    visibility: np.ndarray
    num_keypoints: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    poses: np.ndarray
    tracks: np.ndarray
    left_out: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def used(self) -> np.ndarray:
        """Rows (U,) of the people that become samples and that metrics count."""
        return np.flatnonzero(self.left_out == 0)

    def take(self, rows: np.ndarray) -> "People":
        """The people of these rows."""
        return People(**{name: column[rows] for name, column in vars(self).items()})


@dataclass(frozen=True, eq=False)
class Annotations:
    """The content of a file: ``where`` names it, ``people`` is None if it has no keypoints at all.

    ``categories`` are the chosen categories' names by id; ``dropped`` counts annotations of other categories
    by name, ``strays`` counts those of images that the file does not list; ``notes`` list what was filled in
    or reordered.
    """

    where: str
    images: Images
    people: People | None
    categories: Mapping[Id, str] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    strays: int = 0

    @property
    def left_out(self) -> dict[str, int]:
        """The number of people left out, by reason; empty if everybody is used."""
        counts = [0] if self.people is None else np.bincount(self.people.left_out)
        reasons = {REASONS[number]: int(n) for number, n in enumerate(counts) if number and n}
        if self.strays:
            reasons["image that is not listed"] = self.strays
        return reasons | {f"category {name}": count for name, count in self.dropped.items()}

    def report(self) -> str | None:
        """One line on the people left out and the values repaired; None if there is nothing to report."""
        left_out = self.left_out
        if not left_out and not self.notes:
            return None
        used = 0 if self.people is None else len(self.people.used)
        images = 0 if self.people is None else len(np.unique(self.people.images[self.people.used]))
        line = (
            f"{self.where}: {used} of {used + sum(left_out.values())} annotated people are used, "
            f"in {images} of {len(self.images)} images"
        )
        if left_out:
            line += "; left out: " + ", ".join(f"{reason} {count}" for reason, count in left_out.items())
        return show_name("; ".join([line, *self.notes]))

    def with_images(self, ids: np.ndarray) -> "Annotations":
        """The images with these ids of the file, and their people."""
        return self.of_images(np.flatnonzero(np.isin(self.images.ids, ids)))

    def of_images(self, rows: np.ndarray) -> "Annotations":
        """The images of these rows, and their people."""
        images = Images(
            self.images.ids[rows],
            [self.images.file_names[row] for row in rows.tolist()],
            self.images.sizes[rows],
            self.images.crowd_indexes[rows],
        )
        if self.people is None:
            return replace(self, images=images)
        new_row = np.full(len(self.images), -1)
        new_row[rows] = np.arange(len(rows))
        people = self.people.take(np.flatnonzero(new_row[self.people.images] >= 0))
        return replace(self, images=images, people=replace(people, images=new_row[people.images]))
