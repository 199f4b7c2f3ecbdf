"""Chooses a file's categories, and finds the order of its keypoints by their names."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ppose.annotations.ids import Id, match_key
from ppose.errors import DataError
from ppose.keypoints import KeypointSet
from ppose.workspace.registry import suggest

# How tools abbreviate left and right (l_eye, LEye, eyeR), and how the published mpii2coco spells thorax.
_SPELLINGS = {"l": "left", "r": "right", "throax": "thorax"}
# Halpe's files have 136 unnamed keypoints of body, face and hands; the body's 26 come first (Halpe-FullBody).
_LONGER_FILES = {"halpe26": 136}


def name_of(category: Mapping[str, Any] | None, category_id: Id) -> str:
    """A category's name for messages; its id if the file does not list it."""
    return str((category or {}).get("name", category_id))


def keypoint_names(category: Mapping[str, Any] | None) -> list[str]:
    """The names of a category's keypoints; empty if the file has none."""
    names = (category or {}).get("keypoints") or []
    if isinstance(names, str):
        return [name.strip() for name in names.split(",")]
    return [str(name) for name in (names if isinstance(names, list) else [names])]


def describe_unlisted(listed: dict[Id, Mapping[str, Any]], labelled: Collection[Id]) -> list[str]:
    """Treat labelled but unlisted categories as the only category with keypoint names, if there is just one.

    Adds them to ``listed``; returns the notes to report.
    """
    named = [(key, category) for key, category in listed.items() if keypoint_names(category)]
    unlisted = [key for key in labelled if key not in listed]
    if len(named) != 1 or not unlisted:
        return []
    ((only, category),) = named
    listed.update({key: {**category, "id": key} for key in unlisted})
    return [
        f"category {', '.join(map(str, unlisted))} is not listed: read as {only} {name_of(category, only)}"
    ]


def choose_categories(
    listed: Mapping[Id, Mapping[str, Any]],
    labelled: Collection[Id],
    keypoint_set: KeypointSet,
    asked: Sequence[Id] | None,
    where: str,
) -> list[Id]:
    """Ids (as `match_key`) of the categories whose people are read.

    ``listed`` are the file's categories by id, ``labelled`` those with keypoints. Chooses the ``asked`` ones,
    by name or id; else the only one with keypoints; of several `person`, or all with the set's keypoints.
    """
    if asked is not None:
        return [_find_category(category, listed, where) for category in asked]
    found = list(labelled)
    if len(found) < 2:
        return found
    people = [c for c in found if name_of(listed.get(c), c).strip().casefold() == "person"]
    if people:
        return people
    names = {category: keypoint_names(listed.get(category)) for category in found}
    fitting = [c for c in found if names[c] and match_names(names[c], keypoint_set) is not None]
    if fitting:
        return fitting
    shown = ", ".join(sorted(name_of(listed.get(category), category) for category in found))
    raise DataError(
        f"{where}: several categories have keypoints: {shown}; keep one of them, or name those to read "
        "in the dataset's categories"
    )


def _find_category(asked: Id, listed: Mapping[Id, Mapping[str, Any]], where: str) -> Id:
    by_name = {name_of(category, key): key for key, category in listed.items()}
    if asked in by_name:
        return by_name[str(asked)]
    if match_key(asked) in listed:
        return match_key(asked)
    raise DataError(
        f"{where}: no category {asked!r}; it has {', '.join(by_name) or 'none'}{suggest(str(asked), by_name)}"
    )


def order_keypoints(
    names: Sequence[str], keypoint_set: KeypointSet, where: str
) -> tuple[np.ndarray, int, str | None]:
    """Find the index of each of the set's K keypoints in a file with these names.

    Returns the order (K,), how many keypoints the file has, and a note to report, if any. Without names
    the file's order is the set's. Raises DataError that shows both lists if names cannot be matched.
    """
    count = keypoint_set.num_keypoints
    order = match_names(names, keypoint_set)
    if order is None:
        raise DataError(
            f"{where}: its keypoints are {', '.join(names)}; those of the keypoint set '{keypoint_set.name}' "
            f"are {', '.join(keypoint_set.names)}: give the config's KeypointSet block the file's names"
        )
    note = None
    if len(names) > count:
        note = f"{count} of its {len(names)} keypoints are read, by name"
    elif not np.array_equal(order, np.arange(count)):
        note = f"keypoints put in the order of '{keypoint_set.name}', by name"
    elif names and list(names) != list(keypoint_set.names) and _are_numbered(names):
        note = f"its keypoints have numbers for names: taken in the order of '{keypoint_set.name}'"
    return order, max(len(names), count), note


def match_names(names: Sequence[str], keypoint_set: KeypointSet) -> np.ndarray | None:
    """The index of each of the set's keypoints among the names, (K,); None if they cannot be matched.

    Case, separators and the notation of left and right do not matter: LEye and Halpe's Rknee are left_eye and
    right_knee; head_top is head if there is only one head. Names that are rising numbers, or words with such
    numbers, carry no meaning and match by position.
    """
    own = list(keypoint_set.names)
    if list(names) == own or not names:
        return np.arange(len(own))
    words = frozenset(word for name in own for word in plain_name(name))
    for plain in (plain_name, _plainer_name, partial(_split_sides, words=words)):
        theirs, ours = [plain(name) for name in names], [plain(name) for name in own]
        if len(set(theirs)) == len(theirs) and len(set(ours)) == len(ours) and set(ours) <= set(theirs):
            return np.array([theirs.index(name) for name in ours])
    if len(names) == len(own) and _are_numbered(names):
        return np.arange(len(own))
    return None


def unnamed_count(keypoint_set: KeypointSet, values: int) -> int:
    """How many keypoints a file without names has, given the count of numbers per person."""
    longer = _LONGER_FILES.get(keypoint_set.name)
    return longer if longer is not None and values == 3 * longer else keypoint_set.num_keypoints


def plain_name(name: str) -> tuple[str, ...]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[LR])(?=[A-Z][a-z])", " ", name)
    words = re.findall(r"[^\W_]+", apart.casefold())
    words = [part for word in words for part in re.findall(r"^(?:left|right)(?=.)|.+", word)]
    return tuple(sorted(_SPELLINGS.get(word, word) for word in words))


def _plainer_name(name: str) -> tuple[str, ...]:
    words = plain_name(name)
    return ("head",) if words == ("head", "top") else words


def _split_sides(name: str, words: Collection[str]) -> tuple[str, ...]:
    """Split left and right from the set's words when written together: rknee, eyeleft."""
    found: list[str] = []
    for word in plain_name(name):
        parts = re.fullmatch(r"(?P<side>[lr])(?P<word>.+)|(?P<first>.+?)(?P<last>left|right)", word)
        side, rest = (
            (parts["side"] or parts["last"], parts["word"] or parts["first"]) if parts else ("", word)
        )
        is_apart = word not in words and rest in words
        found += [_SPELLINGS.get(side, side), rest] if is_apart else [word]
    return tuple(sorted(found))


def _are_numbered(names: Sequence[str]) -> bool:
    parts = [re.fullmatch(r"(.*?)(\d{1,9})", name.strip()) for name in names]
    numbered = [part.groups() for part in parts if part is not None]
    if len(numbered) < len(names) or len({word for word, _ in numbered}) > 1:
        return False
    numbers = [int(number) for _, number in numbered]
    return numbers == sorted(set(numbers))
