"""Guesses the keypoint set of an annotation file without a config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppose.annotations.names import keypoint_names, match_names, plain_name
from ppose.errors import ConfigError, DataError
from ppose.files import read_json
from ppose.keypoints import BUILTIN_SETS, KeypointSet, make_keypoint_set
from ppose.paths import show_name

_COUNTS = {17: "coco17", 16: "mpii16", 14: "crowdpose14", 26: "halpe26", 136: "halpe26"}


def guess_keypoint_set(source: str | Path | Mapping[str, Any], where: str | None = None) -> KeypointSet:
    """The built-in set with the file's names; else a set of these names; else the built-in set of its count.

    ``source`` is an annotation file or its content, which ``where`` names in messages. The category's
    flip_pairs (indexes from 0) become the set's; without them, names that differ only in left and right are
    pairs. Raises DataError if the file gives no clue.
    """
    where = where or ("the annotations" if isinstance(source, Mapping) else show_name(source))
    content = source if isinstance(source, Mapping) else read_json(source, "annotation file")
    entries = content.get("categories") if isinstance(content, Mapping) else None
    category = next(filter(keypoint_names, _mappings(entries)), None)
    if category is not None:
        names = keypoint_names(category)
        fitting = [known for known in BUILTIN_SETS.values() if _fits(names, known)]
        # CrowdPose's and AI Challenger's have the same keypoints in two orders.
        fitting.sort(key=lambda known: plain_name(known.names[0]) != plain_name(names[0]))
        return fitting[0] if fitting else _set_of(names, category, where)
    people = content.get("annotations") if isinstance(content, Mapping) else None
    counts = (len(person.get("keypoints") or ()) // 3 for person in _mappings(people))
    count = next(filter(None, counts), 0)
    if count in _COUNTS:
        return BUILTIN_SETS[_COUNTS[count]]
    if not count:
        raise DataError(f"{where}: no annotation has keypoints; is it the person_keypoints file?")
    raise DataError(
        f"{where}: which {count} keypoints? Its categories have no names: give their set's name, or a config"
    )


def _mappings(entries: Any) -> list[Mapping[str, Any]]:
    return [e for e in entries if isinstance(e, Mapping)] if isinstance(entries, list) else []


def _fits(names: list[str], known: KeypointSet) -> bool:
    return len(names) == known.num_keypoints and match_names(names, known) is not None


def _set_of(names: list[str], category: Mapping[str, Any], where: str) -> KeypointSet:
    try:
        pairs = [(int(a), int(b)) for a, b in category.get("flip_pairs") or _find_pairs(names)]
        limbs = [(int(a) - 1, int(b) - 1) for a, b in category.get("skeleton") or ()]
        known = [limb for limb in limbs if all(0 <= end < len(names) for end in limb)]
        return make_keypoint_set("the file's", names, pairs, known)
    except ConfigError as error:
        raise DataError(f"{where}: {error}") from None
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where}: flip_pairs and skeleton of a category are lists of two indexes") from None


def _find_pairs(names: list[str]) -> list[tuple[int, int]]:
    plain = [plain_name(name) for name in names]
    pairs = []
    for index, words in enumerate(plain):
        other = tuple(sorted("right" if word == "left" else word for word in words))
        if "left" in words and other in plain:
            pairs.append((index, plain.index(other)))
    return pairs
