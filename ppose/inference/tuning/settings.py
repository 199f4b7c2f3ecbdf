"""Settings to run a model with, and the defaults without a measurement."""

from dataclasses import dataclass
from pathlib import Path

from ppose.inference.runtimes import Precision, RuntimeName
from ppose.paths import show_name

_PEOPLE, _PEOPLE_OF_SEVERAL = 16, 4  # as measured (benchmarks/throughput.py)


def default_batch(streams: int) -> int:
    """The most people of a batch; fewer where several run at once."""
    return _PEOPLE if streams == 1 else _PEOPLE_OF_SEVERAL


@dataclass(frozen=True)
class Settings:
    """An export's folder, a runtime, and how it works: ``threads`` of all ``streams`` together.

    A graph with a fixed batch (``is_fixed``) has no other. ``precision`` is what `open_runtime` is asked for,
    ``computes`` what comes of it: int8 of an int8 export.
    """

    path: Path
    runtime: RuntimeName
    precision: Precision
    computes: str
    threads: int
    streams: int = 1
    batch: int = 1
    is_fixed: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether it computes in fp32, equal to the network up to the order of sums."""
        return self.computes == "fp32"

    def describe(self) -> str:
        """For one line of text."""
        where = f"{show_name(self.path.name)} in {self.runtime}"
        words = [where, self.computes, _count(self.threads, "thread")]
        if self.streams > 1:
            words.append(f"{self.streams} streams")
        if self.batch > 1:
            words.append(f"batches of {self.batch}")
        return ", ".join(words)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
