"""Which of a detector's classes are people."""

from collections.abc import Sequence

from ppose.errors import ConfigError
from ppose.paths import show_name

_PERSON = "person"
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
    """The names of so many classes where a file says none: COCO's 80, or the only one, people; else none."""
    return COCO_LABELS if count == len(COCO_LABELS) else (_PERSON,) if count == 1 else ()


def find_classes(
    labels: Sequence[str], asked: Sequence[int | str] | None, where: str, count: int | None = None
) -> list[int]:
    """The numbers of the classes that are people: those asked for, `person`, or the only one.

    ``labels`` are the names of all, none where nobody knows them; ``count`` is how many there are, ``where``
    what says so. Raises ConfigError for classes that are not there.
    """
    if asked is None and _PERSON not in labels and len(labels) == 1:
        return [0]
    if not labels and asked and all(str(name).isdecimal() for name in asked):
        numbers = [int(name) for name in asked]
        if count is not None and max(numbers) >= count:
            raise ConfigError(f"{where} has the classes 0 to {count - 1}, --det_class is {max(numbers)}")
        return numbers
    known = {
        **{_plain(label): number for number, label in enumerate(labels)},
        **{str(number): number for number in range(len(labels))},
        **{label: number for number, label in enumerate(labels)},
    }
    names = {name: str(name) if str(name) in known else _plain(name) for name in asked or [_PERSON]}
    if missing := [name for name, key in names.items() if key not in known]:
        listed = ", ".join(f"{number} {show_name(label)}" for number, label in enumerate(labels))
        raise ConfigError(
            f"{where} has no '{show_name(str(missing[0]))}': {listed or 'it is empty'}; "
            "choose by --det_class NAME, or by its number"
        )
    return [known[key] for key in names.values()]


def _plain(name: int | str) -> str:
    return str(name).strip().casefold()
