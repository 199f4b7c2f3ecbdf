"""Settings for running a model, and the defaults without a measurement."""

from dataclasses import dataclass
from pathlib import Path

from ppose.inference.runtimes import Precision, RuntimeName
from ppose.paths import show_name

_PEOPLE = 16
# For batches that run in parallel (benchmarks/throughput.py): the maps of larger ones exceed a core's cache.
_PEOPLE_AT_ONCE, _PIXELS_AT_ONCE = 8, 4 * 192 * 256


def default_batch(streams: int, input_size: tuple[int, int]) -> int:
    """The most people per batch; fewer if several batches run in parallel, and for large inputs (w, h)."""
    if streams == 1:
        return _PEOPLE
    width, height = input_size
    return min(max(_PIXELS_AT_ONCE // (width * height), 1), _PEOPLE_AT_ONCE)


@dataclass(frozen=True)
class Settings:
    """An export's folder, a runtime and its settings; ``threads`` is the total of all ``streams``.

    ``is_fixed`` means that the graph has a fixed batch; ``input_size`` is (w, h). ``precision`` is passed to
    `open_runtime`, ``computes`` is the resulting precision: int8 for an int8 export.
    """

    path: Path
    runtime: RuntimeName
    precision: Precision
    computes: str
    threads: int
    streams: int = 1
    batch: int = 1
    is_fixed: bool = False
    input_size: tuple[int, int] = (192, 256)

    @property
    def is_exact(self) -> bool:
        """Whether it computes in fp32, equal to the network up to the order of sums."""
        return self.computes == "fp32"

    def describe(self) -> str:
        """Return the settings in words, for one line of text."""
        where = f"{show_name(self.path.name)} in {self.runtime}"
        words = [where, self.computes, _count(self.threads, "thread")]
        if self.streams > 1:
            words.append(f"{self.streams} streams")
        if self.batch > 1:
            words.append(f"batches of {self.batch}")
        return ", ".join(words)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
