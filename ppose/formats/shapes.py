"""Assembles single points and boxes of a labelling tool to people."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from ppose.errors import DataError
from ppose.formats.labels import ContentBuilder
from ppose.paths import show_text

_HIDDEN, _SEEN = 1, 2


@dataclass(frozen=True)
class Shape:
    """A point (x, y), or a box (left, top, right, bottom); those of one ``group`` belong together."""

    label: str
    values: tuple[float, ...]
    group: Hashable = None
    hidden: bool = False

    @property
    def is_box(self) -> bool:
        """Whether it is a box."""
        return len(self.values) == 4


def box_around(
    left: float, top: float, right: float, bottom: float, degrees: float, pivot: tuple[float, float]
) -> tuple[float, ...]:
    """The upright box (left, top, right, bottom) around a box rotated clockwise about a point."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(x - pivot[0], y - pivot[1]) for x in (left, right) for y in (top, bottom)]
    xs = [pivot[0] + x * cos - y * sin for x, y in corners]
    ys = [pivot[1] + x * sin + y * cos for x, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def add_shapes(builder: ContentBuilder, image: int, shapes: Sequence[Shape], where: str) -> None:
    """Add the people of an image to ``builder``.

    Shapes of one group are a person. A point without a group belongs to the smallest box around it, or to the
    only person. Raises DataError if it is ambiguous.
    """
    strange = next((shape.group for shape in shapes if not isinstance(shape.group, Hashable)), None)
    if strange is not None:
        raise DataError(f"{where}: a group is called {show_text(strange)}, expected a number or a text")
    boxes = [shape for shape in shapes if shape.is_box]
    people: dict[object, list[Shape]] = {}
    for shape in shapes:
        is_owner = shape.is_box or shape.group is not None
        own = _name_of(shape) if is_owner else _owner_of(shape, boxes)
        people.setdefault(own, []).append(shape)
    for parts in people.values():
        _add_person(builder, image, parts, where)


def _owner_of(point: Shape, boxes: Sequence[Shape]) -> object:
    x, y = point.values
    around = [b for b in boxes if b.values[0] <= x <= b.values[2] and b.values[1] <= y <= b.values[3]]
    if not around:
        return "alone" if len(boxes) != 1 else _name_of(boxes[0])
    return _name_of(min(around, key=lambda b: (b.values[2] - b.values[0]) * (b.values[3] - b.values[1])))


def _name_of(shape: Shape) -> object:
    return id(shape) if shape.group is None else shape.group


def _add_person(builder: ContentBuilder, image: int, parts: Sequence[Shape], where: str) -> None:
    boxes, points = [p for p in parts if p.is_box], {}
    for part in parts:
        if part.is_box:
            continue
        if part.label in points:
            raise DataError(
                f"{where}: one person has '{part.label}' twice: give each person's points (and box) their "
                "own group"
            )
        points[part.label] = (*part.values, _HIDDEN if part.hidden else _SEEN)
    if len(boxes) > 1:
        raise DataError(f"{where}: a person has {len(boxes)} boxes, expected one")
    box = None
    if boxes:
        left, top, right, bottom = boxes[0].values
        box = [min(left, right), min(top, bottom), abs(right - left), abs(bottom - top)]
    builder.add_person(image, points, boxes[0].label if boxes else "person", bbox=box)
