"""Splits a dataset into parts for training, validation and test that share no content."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from ppose.annotations import Annotations, match_key
from ppose.errors import ConfigError, DataError

SIZES = ("small", "medium", "large")  # COCO's: up to 32 x 32 and 96 x 96 square pixels
SHOWN = ("few", "some", "most")  # up to a third and two thirds of the keypoints labelled
_AREAS, _SHARES = (32**2, 96**2), (1 / 3, 2 / 3)


def group_images(
    content: Mapping[str, Any], by: str, pairs: Iterable[tuple[int, int]] = ()
) -> list[list[int]]:
    """Groups of a COCO file's images that must stay together, as lists of rows.

    ``by`` is `image` (each alone), `folder` (a video's frames), or a field of images or annotations, such as
    video_id, track_id or person: images with the same value stay together. So do ``pairs`` of rows. Raises
    DataError for a field that nothing has.
    """
    images = content["images"]
    groups = list(range(len(images)))

    def find(row: int) -> int:
        while groups[row] != row:
            groups[row] = row = groups[groups[row]]
        return row

    first: dict[Hashable, int] = {}
    for row, key in _keys(content, by):
        groups[find(row)] = find(first.setdefault(key, row))
    for one, other in pairs:
        groups[find(one)] = find(other)
    members: dict[int, list[int]] = {}
    for row in range(len(images)):
        members.setdefault(find(row), []).append(row)
    return list(members.values())


def _keys(content: Mapping[str, Any], by: str) -> list[tuple[int, Hashable]]:
    images = content["images"]
    if by == "image":
        return []
    if by == "folder":
        return [
            (n, str(PurePosixPath(image.get("file_name") or "").parent)) for n, image in enumerate(images)
        ]
    rows = {match_key(image["id"]): row for row, image in enumerate(images)}
    found = [(row, str(image[by])) for row, image in enumerate(images) if by in image]
    for entry in content.get("annotations") or ():
        if by in entry:
            found.append((rows[match_key(entry["image_id"])], str(entry[by])))
    if not found:
        raise DataError(f"no image and no annotation has a '{by}' to split by")
    return [(row, key) for row, key in found]


def count_strata(annotations: Annotations) -> np.ndarray:
    """Counts per image (M, 8): 1 for itself, its people, and these by `SIZES` and by `SHOWN`."""
    counts = np.zeros((len(annotations.images), 2 + len(SIZES) + len(SHOWN)))
    counts[:, 0] = 1
    if annotations.people is None:
        return counts
    people = annotations.people.take(annotations.people.used)
    sizes = np.searchsorted(_AREAS, people.areas)
    shown = np.searchsorted(_SHARES, (people.visibility > 0).mean(axis=1))
    for column in (np.ones_like(sizes), 2 + sizes, 2 + len(SIZES) + shown):
        np.add.at(counts, (people.images, column), 1)
    return counts


def assign_groups(
    groups: Sequence[Sequence[int]], counts: np.ndarray, shares: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Rows of images by part, so that each part has about its share of every column of ``counts`` (M, C).

    Assigns the largest groups first, each to the part where squared differences from the shares grow least.
    """
    names, share = list(shares), np.array(list(shares.values()))
    if not names or (share <= 0).any():
        raise ConfigError(f"parts are {dict(shares)}, expected names with shares above 0")
    share = share / share.sum()
    total = np.maximum(counts.sum(axis=0), 1)
    of_groups = np.stack([counts[list(group)].sum(axis=0) for group in groups]) / total
    order = np.random.default_rng(seed).permutation(len(groups))
    order = order[np.argsort(-of_groups[order].sum(axis=1), kind="stable")]
    have = np.zeros((len(names), counts.shape[1]))
    parts: dict[str, list[int]] = {name: [] for name in names}
    for index in order.tolist():
        lacking = share[:, None] - have
        growth = (of_groups[index] * (of_groups[index] - 2 * lacking)).sum(axis=1) / share
        part = int(growth.argmin())
        have[part] += of_groups[index]
        parts[names[part]] += groups[index]
    return {name: sorted(rows) for name, rows in parts.items()}


def take_images(content: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """The content with only the images of these rows, and their annotations."""
    images = [content["images"][row] for row in rows]
    kept = {match_key(image["id"]) for image in images}
    entries = [e for e in content.get("annotations") or () if match_key(e["image_id"]) in kept]
    return {**content, "images": images, "annotations": entries}
