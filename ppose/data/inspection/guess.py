"""The keypoint set of an annotation file that comes without a config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppose.annotations.names import keypoint_names, match_names, plain_name
from ppose.errors import DataError
from ppose.files import read_json
from ppose.keypoints import BUILTIN_SETS, KeypointSet
from ppose.keypoints.keypoint_set import DEFAULT_SIGMA
from ppose.paths import show_name

_COUNTS = {17: "coco17", 16: "mpii16", 14: "crowdpose14", 26: "halpe26", 136: "halpe26"}


def guess_keypoint_set(path: str | Path) -> KeypointSet:
    """A built-in set whose names the file has, a set of the file's names, or a built-in one of its count.

    Names that differ in left and right alone are a pair. Raises DataError where there is nothing to go by.
    """
    content = read_json(path, "annotation file")
    entries = content.get("categories") if isinstance(content, Mapping) else None
    names = next(filter(None, map(keypoint_names, _mappings(entries))), [])
    if names:
        fitting = [known for known in BUILTIN_SETS.values() if _fits(names, known)]
        return fitting[0] if fitting else _set_of(names)
    people = content.get("annotations") if isinstance(content, Mapping) else None
    counts = (len(person.get("keypoints") or ()) // 3 for person in _mappings(people))
    count = next(filter(None, counts), 0)
    if count in _COUNTS:
        return BUILTIN_SETS[_COUNTS[count]]
    if not count:
        raise DataError(f"{show_name(path)}: no annotation has keypoints; is it the person_keypoints file?")
    raise DataError(
        f"{show_name(path)}: which {count} keypoints? Its categories have no names: check a config that has"
    )


def _mappings(entries: Any) -> list[Mapping[str, Any]]:
    return [e for e in entries if isinstance(e, Mapping)] if isinstance(entries, list) else []


def _fits(names: list[str], known: KeypointSet) -> bool:
    return len(names) == known.num_keypoints and match_names(names, known) is not None


def _set_of(names: list[str]) -> KeypointSet:
    plain = [plain_name(name) for name in names]
    pairs = []
    for index, words in enumerate(plain):
        other = tuple(sorted("right" if word == "left" else word for word in words))
        if "left" in words and other in plain:
            pairs.append((index, plain.index(other)))
    return KeypointSet(
        name="the file's",
        names=tuple(names),
        flip_pairs=tuple(pairs),
        skeleton=(),
        sigmas=(DEFAULT_SIGMA,) * len(names),
        upper_body=(),
    )
