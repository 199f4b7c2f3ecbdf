"""Labels of people: the output of every format's reader and the input of every writer."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ppose.annotations import Annotations, People, read_annotations
from ppose.annotations.columns import AREA_OF_BOX, PersonColumns
from ppose.annotations.guess import guess_keypoint_set
from ppose.annotations.names import keypoint_names, match_names
from ppose.errors import DataError
from ppose.geometry import bbox_xywh_to_xyxy
from ppose.image_files import IMAGE_ENDINGS, find_image
from ppose.keypoints import KeypointSet
from ppose.paths import cut_name, show_name
from ppose.transforms import read_image_size


@dataclass(frozen=True, eq=False)
class Labels:
    """The annotations of a file, with people, and the keypoint set that gives their order."""

    annotations: Annotations
    keypoint_set: KeypointSet

    @property
    def people(self) -> People:
        """All people, including those that training leaves out."""
        annotations = self.annotations
        if annotations.people is not None:
            return annotations.people
        return PersonColumns(self.keypoint_set, annotations.where, {}).read([], [], np.zeros(0, np.int64))

    def by_image(self) -> Iterator[tuple[int, str, tuple[int, int], list[int]]]:
        """Yield each image's row, file name, size (width, height; 0 if unknown), and its people's rows."""
        images, order = self.annotations.images, np.argsort(self.people.images, kind="stable")
        ends = np.searchsorted(self.people.images[order], np.arange(len(images) + 1))
        for row, name in enumerate(images.file_names):
            if not name:
                raise DataError(f"{self.annotations.where}: image {images.ids[row]} has no file name")
            width, height = images.sizes[row].tolist()
            yield row, name, (width, height), order[ends[row] : ends[row + 1]].tolist()

    def by_file(self, ending: str) -> list[tuple[Path, int, str, tuple[int, int], list[int]]]:
        """As `by_image`, preceded by the image's name with that ending, relative to a folder.

        Raises DataError if two images get the same name, or if it is too long.
        """
        found: list[tuple[Path, int, str, tuple[int, int], list[int]]] = []
        first: dict[Path, str] = {}
        for row, name, size, people in self.by_image():
            parts = [part for part in PurePosixPath(name).parts if part.strip("/") and part != ".."]
            if not parts:
                raise DataError(f"{self.annotations.where}: {show_name(name)} is no name of an image")
            file = Path(*parts[:-1], PurePosixPath(parts[-1]).stem + ending)
            if file in first:
                both = f"{show_name(first[file])} and {show_name(name)}"
                raise DataError(
                    f"{self.annotations.where}: {both} would both have their labels in {show_name(file)}"
                )
            if cut_name(file.name, "") != file.name:
                raise DataError(f"{self.annotations.where}: the file name is too long: {show_name(file)}")
            first[file] = name
            found.append((file, row, name, size, people))
        return found

    def category(self, person: int) -> str:
        """The name of a person's category."""
        return self.annotations.categories.get(self.people.category_ids[person], "person")

    def points(self, person: int) -> list[tuple[str, float, float, bool]]:
        """Name, x, y and whether hidden, for each of a person's labelled keypoints."""
        people = self.people
        rows = zip(
            self.keypoint_set.names, people.keypoints[person].tolist(), people.visibility[person], strict=True
        )
        return [(name, x, y, flag == 1) for name, (x, y), flag in rows if flag > 0]

    def require_sizes(self) -> None:
        """Raise DataError if the size of an image with people is unknown."""
        for _, name, size, rows in self.by_image():
            if rows and not all(size):
                raise DataError(
                    f"{self.annotations.where}: this format needs the size of {name}, which is unknown: "
                    "give the images with --image_dir DIR"
                )

    def in_order_of(self, keypoint_set: KeypointSet, kind: str) -> "Labels":
        """The labels with that set's keypoints in its order, by name; DataError if some are missing."""
        order = match_names(self.keypoint_set.names, keypoint_set)
        if order is None:
            raise DataError(
                f"{kind} has the keypoints {', '.join(keypoint_set.names)}; "
                f"those of {self.annotations.where} are {', '.join(self.keypoint_set.names)}"
            )
        people = self.people
        people = replace(people, keypoints=people.keypoints[:, order], visibility=people.visibility[:, order])
        return Labels(replace(self.annotations, people=people), keypoint_set)


def make_labels(
    content: Mapping[str, Any],
    where: str,
    keypoint_set: KeypointSet | None,
    *,
    image_dir: Path | None = None,
    categories: Sequence[int | str] | None = None,
    needs_people: bool = True,
) -> Labels:
    """Labels of the content of a COCO file; without a keypoint set the content's own names determine it.

    Reads ``categories``, by name or id, or all with the set's keypoints. Looks up missing sizes in
    ``image_dir``. Raises DataError; with ``needs_people`` also if nobody has keypoints.
    """
    keypoint_set = keypoint_set or guess_keypoint_set(content, where)
    if categories is None:
        categories = _with_keypoints(content, keypoint_set)

    def find_size(name: str) -> tuple[int, int] | None:
        return None if image_dir is None else read_image_size(find_image(image_dir, name))

    annotations = read_annotations(
        content,
        keypoint_set,
        categories=categories,
        find_size=find_size,
        needs_people=needs_people,
        where=where,
    )
    return Labels(annotations, keypoint_set)


def _with_keypoints(content: Mapping[str, Any], keypoint_set: KeypointSet) -> list[Any] | None:
    """Ids of the categories that name the set's keypoints; None unless there are several."""
    listed = content.get("categories") if isinstance(content, Mapping) else None
    given = [c for c in listed if isinstance(c, Mapping) and "id" in c] if isinstance(listed, list) else []
    named = [(category["id"], keypoint_names(category)) for category in given]
    fitting = [own for own, names in named if names and match_names(names, keypoint_set) is not None]
    return fitting if len(fitting) > 1 else None


# What labels may have beside images and labelled keypoints, and some formats cannot hold.
LOSSES = {
    "boxes": "the boxes of {} people (on reading, computed from the keypoints)",
    "hidden": "that keypoints of {} people are hidden (they become visible)",
    "areas": "the areas of {} people",
    "crowds": "that {} are crowds",
    "tracks": "the track ids of {} people",
    "unlabelled": "{} people without labelled keypoints",
    "categories": "the {} categories",
    "names": "the names of {} keypoints",
    "empty": "{} images without people",
    "outside": "the parts outside of the image, of {} people",
    "poses": "the poses in space of {} people",
    "crowd_indexes": "the crowding of {} images",
}


def find_losses(labels: Labels, holds: frozenset[str]) -> list[str]:
    """Describe the parts of these labels that a format with the keys ``holds`` of `LOSSES` cannot hold."""
    people, images = labels.people, labels.annotations.images
    own = people.areas - people.bboxes_xywh[:, 2:].prod(axis=1) * AREA_OF_BOX
    categories = len(labels.annotations.categories)
    sizes = images.limits(people.images)
    corners = bbox_xywh_to_xyxy(people.bboxes_xywh).reshape(-1, 2, 2)
    points = np.where(people.visibility[..., None] > 0, people.keypoints, 0)
    points = np.concatenate([points, corners], axis=1)
    beyond = ((points < 0) | (points > sizes[:, None])).any(axis=(1, 2))
    has = {
        "boxes": (people.bboxes_xywh[:, 2:] > 0).all(axis=1).sum(),
        "hidden": (people.visibility == 1).any(axis=1).sum(),
        "areas": (np.abs(own) > 1e-6 * people.areas).sum(),
        "crowds": people.is_crowd.sum(),
        "tracks": (people.tracks >= 0).sum(),
        "unlabelled": (people.visibility == 0).all(axis=1).sum(),
        "categories": categories if categories > 1 else 0,
        "names": labels.keypoint_set.num_keypoints,
        "empty": len(images) - len(np.unique(people.images)),
        "outside": beyond.sum(),
        "poses": np.isfinite(people.poses).all(axis=1).sum(),
        "crowd_indexes": np.isfinite(images.crowd_indexes).sum(),
    }
    return [words.format(has[key]) for key, words in LOSSES.items() if key not in holds and has[key]]


class ContentBuilder:
    """Builds the content of a COCO file from images and people as a reader adds them; ids count from 1."""

    def __init__(self) -> None:
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._categories: dict[str, int] = {}
        self._names: dict[str, None] = {}
        self._counts: Counter[str] = Counter()
        self._points: list[Mapping[str, Sequence[float]]] = []

    def add_image(self, file_name: str, size: Sequence[Any] = (None, None)) -> int:
        """Add an image and return its id; ``size`` is width, height."""
        known = {"width": size[0], "height": size[1]} if all(size) else {}
        image = {"id": len(self._images) + 1, "file_name": file_name, **known}
        self._images.append(image)
        return image["id"]

    def add_names(self, names: Sequence[str]) -> None:
        """Add keypoint names in the order in which a file lists them."""
        self._names.update(dict.fromkeys(names))

    def add_person(
        self, image: int, points: Mapping[str, Sequence[float]], category: str = "person", **more: Any
    ) -> None:
        """Add a person; ``points`` are x, y, visibility by name; None in ``more`` is dropped."""
        self.add_names(list(points))
        category_id = self._categories.setdefault(category, len(self._categories) + 1)
        number = len(self._annotations) + 1
        entry = {"id": number, "image_id": image, "category_id": category_id, **more}
        self._annotations.append({key: value for key, value in entry.items() if value is not None})
        self._points.append(points)

    def count(self, what: str) -> None:
        """Count one item that the content cannot hold; the content's ``notes`` report the numbers."""
        self._counts[what] += 1

    def finish(self, **category: Any) -> dict[str, Any]:
        """The content; ``category`` is added to all categories, beside id, name and keypoints."""
        names = list(self._names)
        for entry, points in zip(self._annotations, self._points, strict=True):
            entry["keypoints"] = [float(v) for name in names for v in points.get(name, (0, 0, 0))]
        categories = [
            {"id": number, "name": name, "keypoints": names, **category}
            for name, number in self._categories.items()
        ]
        content = {"images": self._images, "annotations": self._annotations, "categories": categories}
        return {**content, "notes": [f"{count} {what}" for what, count in self._counts.items()]}


def image_of_stem(folder: Path, stem: str) -> str:
    """The name of the image in ``folder`` with that stem; DataError if there is none."""
    for ending in IMAGE_ENDINGS:
        for name in (stem + ending, stem + ending.upper()):
            if (folder / name).is_file():
                return name
    raise DataError(f"images not found: no {stem}.* in {folder}; give their folder with --image_dir DIR")
