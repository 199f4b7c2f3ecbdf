"""The look of a synthetic person: skin, hair, clothes and carried objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# RGB, light to dark; a person's skin lies between two neighbours.
_SKINS = np.array(
    [(250, 222, 200), (238, 200, 170), (222, 176, 140), (196, 146, 108)]
    + [(160, 112, 78), (118, 78, 54), (78, 52, 40)],
    float,
)
_HAIRS = np.array(
    [(22, 18, 18), (44, 32, 26), (76, 52, 36), (112, 78, 50), (170, 130, 80), (214, 180, 120), (120, 56, 34)]
    + [(150, 150, 150), (225, 222, 215)],
    float,
)
# Black, white, greys, navy, denim, beige, khaki, brown: the colours of most clothes.
_PLAIN_CLOTHES = np.array(
    [
        (28, 28, 32),
        (238, 238, 234),
        (128, 130, 134),
        (80, 82, 88),
        (34, 44, 78),
        (62, 88, 130),
        (206, 188, 152),
    ]
    + [(120, 116, 84), (92, 66, 50)],
    float,
)
HAIR_STYLES = ("bald", "short", "full", "long", "tail", "bun")
HATS = ("none", "cap", "beanie")
FRONTS = ("plain", "print", "buttons", "open", "vneck")


@dataclass(frozen=True)
class Look:
    """Colours are RGB (3,) float; lengths of clothes are shares of the limb that they cover."""

    skin: np.ndarray
    hair: np.ndarray
    hair_style: str  # of `HAIR_STYLES`
    hat: str  # of `HATS`
    hat_colour: np.ndarray
    beard: bool
    glasses: bool
    top: np.ndarray
    second: np.ndarray  # of patterns, prints and an open jacket's lining
    sleeve: float  # 0 none, 1 to the elbow, 2 to the wrist
    front: str  # of `FRONTS`
    bottom: np.ndarray
    trouser: float  # 0 none, 1 to the knee, 2 to the ankle
    skirt: float  # 0 none, 1 to the knee, 2 to the ankle
    shoe: np.ndarray
    looseness: float
    backpack: bool
    bag_colour: np.ndarray
    pattern_top: bool
    pattern_bottom: bool


def sample_look(rng: np.random.Generator) -> Look:
    """A random look: clothes, skin, hair, and now and then a skirt."""
    top, bottom = _sample_cloth(rng), _sample_cloth(rng)
    skirt = rng.uniform(0.45, 1.7) if rng.random() < 0.16 else 0.0
    if skirt and rng.random() < 0.5:
        bottom = top  # a dress
    sleeves = (0.0, rng.uniform(0.35, 0.9), 2.0, rng.uniform(1.3, 1.8))
    trousers = (2.0, rng.uniform(0.35, 1.0), rng.uniform(1.1, 1.7))
    return Look(
        skin=_between(rng, _SKINS) + rng.normal(0, 5, 3),
        hair=_choose(rng, _HAIRS) + rng.normal(0, 6, 3),
        hair_style=_choose(rng, HAIR_STYLES, (0.07, 0.3, 0.23, 0.22, 0.12, 0.06)),
        hat=_choose(rng, HATS, (0.8, 0.12, 0.08)),
        hat_colour=_sample_cloth(rng),
        beard=rng.random() < 0.12,
        glasses=rng.random() < 0.15,
        top=top,
        second=_sample_cloth(rng),
        sleeve=_choose(rng, sleeves, (0.12, 0.4, 0.4, 0.08)),
        front=_choose(rng, FRONTS, (0.3, 0.25, 0.17, 0.13, 0.15)),
        bottom=bottom,
        trouser=0.0 if skirt else _choose(rng, trousers, (0.68, 0.25, 0.07)),
        skirt=skirt,
        shoe=_sample_cloth(rng),
        looseness=rng.uniform(1.02, 1.35),
        backpack=rng.random() < 0.1,
        bag_colour=_sample_cloth(rng),
        pattern_top=rng.random() < 0.35,
        pattern_bottom=rng.random() < 0.12,
    )


def _choose(rng: np.random.Generator, options: Any, shares: Sequence[float] | None = None) -> Any:
    if shares is None:
        return options[int(rng.random() * len(options))]
    threshold = rng.random() * sum(shares)
    for option, share in zip(options, shares, strict=True):
        threshold -= share
        if threshold < 0:
            return option
    return options[-1]


def _sample_cloth(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.55:
        return _choose(rng, _PLAIN_CLOTHES) + rng.normal(0, 8, 3)
    # Any hue: a bright and a dark channel, the third between.
    bright, dark, third, fade = rng.uniform((110, 20, 20, 0), (245, 110, 220, 0.65))
    colour = rng.permutation([bright, dark, third])
    return colour + fade * ((bright + dark + third) / 3 - colour)


def _between(rng: np.random.Generator, palette: np.ndarray) -> np.ndarray:
    position = rng.uniform(0, len(palette) - 1)
    low = int(position)
    return palette[low] + (position - low) * (palette[low + 1] - palette[low])
