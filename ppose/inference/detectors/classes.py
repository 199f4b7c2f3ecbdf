"""Finds which of a detector's classes are people."""

from collections.abc import Sequence

from ppose.errors import ConfigError
from ppose.paths import show_text

_PERSON = "person"
_SHOWN = 100  # most names in a message
# The 80 classes of COCO's detection task in the order of their ids, which detectors number from 0.
_COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,"
    "parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,"
    "tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,"
    "tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,"
    "hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,"
    "keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,"
    "hair drier,toothbrush"
)
COCO_LABELS = tuple(_COCO.split(","))


def guess_labels(count: int | None) -> tuple[str, ...]:
    """Class names if no file states them: one class is people; 80 or an unknown number are COCO's."""
    if count == 1:
        return (_PERSON,)
    return COCO_LABELS if count in (None, len(COCO_LABELS)) else ()


def find_classes(
    labels: Sequence[str], asked: Sequence[int | str] | None, where: str, count: int | None
) -> list[int]:
    """The numbers of the classes that are people: those asked for, `person`, or the only one.

    ``labels`` are all names, empty if unknown; ``count`` is the number of classes, ``where`` the file that
    states them, for messages. Raises ConfigError for unknown classes.
    """
    if asked is None and _PERSON not in labels and len(labels) == 1:
        return [0]
    if not labels and asked and all(str(name).isdecimal() for name in asked):
        return _check_count([int(name) for name in asked], count, where)
    numbered = list(enumerate(labels))[::-1]  # the first of equal names counts
    known = {
        **{_plain(label): number for number, label in numbered},
        **{str(number): number for number, _ in numbered},
        **{label: number for number, label in numbered},
    }
    names = {name: str(name) if str(name) in known else _plain(name) for name in asked or [_PERSON]}
    if missing := [name for name, key in names.items() if key not in known]:
        shown = [f"{number} {show_text(label, 40)}" for number, label in enumerate(labels[:_SHOWN])]
        listed = ", ".join(shown) + (", ..." if len(labels) > _SHOWN else "")
        raise ConfigError(
            f"{where} has no '{show_text(str(missing[0]))}': {listed or 'it names no classes'}; "
            "choose by --det_class NAME, or by its number"
        )
    return _check_count([known[key] for key in names.values()], count, where)


def _check_count(numbers: list[int], count: int | None, where: str) -> list[int]:
    if count is not None and max(numbers) >= count:
        raise ConfigError(f"{where}: the classes are 0 to {count - 1}, people are {max(numbers)}")
    return numbers


def _plain(name: int | str) -> str:
    return str(name).strip().casefold()
