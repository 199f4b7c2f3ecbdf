"""Merges several COCO files into one."""

from collections.abc import Mapping, Sequence
from typing import Any

from ppose.annotations.ids import Id, match_key, read_id
from ppose.annotations.names import keypoint_names, plain_name
from ppose.errors import DataError


def merge_contents(contents: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[dict[str, Any], int]:
    """Merge the contents of COCO files, given as (name in messages, content); the inputs stay unchanged.

    Ids of images, annotations and categories are renumbered from 1; everything else in an entry stays. Images
    with the same file name are one image, categories with the same name one category, whose keypoints get
    the order of the first file that has it. Also returns how many images were in several files. Raises
    DataError for images with one name and two sizes, and for categories with different keypoints.
    """
    merged = _Merged()
    for where, content in contents:
        merged.add(where, content)
    return merged.content, merged.shared


class _Merged:
    def __init__(self) -> None:
        self.content: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
        self.shared = 0
        self._images: dict[str, dict[str, Any]] = {}
        self._categories: dict[str, dict[str, Any]] = {}

    def add(self, where: str, content: Mapping[str, Any]) -> None:
        earlier = set(self._images)
        images = {
            _key(image, "id", where): self._add_image(where, image, earlier)
            for image in _entries(content, "images", where)
        }
        categories = {
            _key(category, "id", where): self._add_category(where, category)
            for category in _entries(content, "categories", where)
        }
        for entry in _entries(content, "annotations", where):
            image = images.get(_key(entry, "image_id", where))
            if image is None:
                raise DataError(f"{where}: annotation {entry.get('id')} is of an image that is not listed")
            new = {**entry, "id": len(self.content["annotations"]) + 1, "image_id": image}
            if "category_id" in entry:
                key = _key(entry, "category_id", where)
                if key not in categories:
                    categories[key] = self._add_category(where, {"name": str(entry["category_id"])})
                new["category_id"], order = categories[key]
                if order is not None and entry.get("keypoints"):
                    new["keypoints"] = _reorder(entry["keypoints"], order, f"{where}: {entry.get('id')}")
            self.content["annotations"].append(new)

    def _add_image(self, where: str, image: Mapping[str, Any], earlier: set[str]) -> int:
        name = str(image.get("file_name") or "")
        known = self._images.get(name) if name else None
        if known is None:
            known = {**image, "id": len(self.content["images"]) + 1}
            self.content["images"].append(known)
            self._images[name] = known
            return known["id"]
        for side in ("width", "height"):
            if known.get(side) and image.get(side) and known[side] != image[side]:
                raise DataError(
                    f"{where}: {name} has another {side} than in an earlier file: are these two images? "
                    "With --root DIR their names begin at DIR"
                )
        self.shared += name in earlier
        return known["id"]

    def _add_category(self, where: str, category: Mapping[str, Any]) -> tuple[int, list[int] | None]:
        """Its new id, and the indexes of the known category's keypoints in it; None if in the same order."""
        name = str(category.get("name", category.get("id")))
        known = self._categories.get(name.strip().casefold())
        if known is None:
            known = {**category, "id": len(self.content["categories"]) + 1, "name": name}
            self.content["categories"].append(known)
            self._categories[name.strip().casefold()] = known
            return known["id"], None
        ours, theirs = keypoint_names(known), keypoint_names(category)
        if not theirs or ours == theirs:
            return known["id"], None
        plain = [plain_name(n) for n in theirs]
        if sorted(plain) != sorted(plain_name(n) for n in ours) or len(set(plain)) < len(plain):
            raise DataError(
                f"{where}: category '{name}' has the keypoints {', '.join(theirs)}; in an earlier file they "
                f"are {', '.join(ours) or 'not named'}"
            )
        return known["id"], [plain.index(plain_name(n)) for n in ours]


def _entries(content: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    entries = content.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise DataError(f"{where}: '{key}' is not a list of objects in braces")
    return entries


def _key(entry: Mapping[str, Any], key: str, where: str) -> Id:
    if key not in entry:
        raise DataError(f"{where}: {entry!r:.80} has no {key}")
    return match_key(read_id(entry[key], f"{where}: {key}"))


def _reorder(keypoints: Any, order: list[int], where: str) -> list[Any]:
    if not isinstance(keypoints, list) or len(keypoints) not in (len(order), 3 * len(order)):
        raise DataError(f"{where}: keypoints are not {3 * len(order)} numbers: x, y and visibility of each")
    size = len(keypoints) // len(order)
    return [value for index in order for value in keypoints[size * index : size * index + size]]
