"""Which convolutions of a network are quantized, and which ones a config keeps in float."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from paddle import nn

from ppose.errors import ConfigError
from ppose.workspace.registry import suggest


def find_kept(model: nn.Layer, patterns: Sequence[str], key: str) -> dict[str, nn.Conv2D]:
    """The convolutions of a network that ``patterns`` keep in float, by name.

    A pattern is the name of a convolution or of a layer that holds some, as in `backbone.stem`, with `*`, `?`
    and `[...]` for parts of it. Raises ConfigError, which names the config's ``key``, for one that is none.
    """
    convolutions = {name: layer for name, layer in model.named_sublayers() if isinstance(layer, nn.Conv2D)}
    kept = {}
    for pattern in patterns:
        found = [name for name in convolutions if any(fnmatchcase(n, pattern) for n in _with_holders(name))]
        if not found:
            known = dict.fromkeys(n for name in convolutions for n in _with_holders(name))
            raise ConfigError(f"{key}: no convolution is named '{pattern}'{suggest(pattern, known)}")
        kept |= {name: convolutions[name] for name in found}
    return kept


def _with_holders(name: str) -> Iterable[str]:
    """`a.b.c` -> a, a.b, a.b.c"""
    parts = name.split(".")
    return (".".join(parts[: count + 1]) for count in range(len(parts)))
