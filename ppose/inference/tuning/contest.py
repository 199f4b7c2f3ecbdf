"""Finds the fastest settings: runs all in turns, and drops those that fall behind.

Turns alternate, so that other load on the machine affects all settings alike. What counts is the median over
rounds of the time divided by that of the default, the settings that `auto` takes without measuring; it runs
in every round.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ppose.errors import PposeError
from ppose.inference.tuning.candidates import default_of, vary_batches, vary_streams, vary_threads
from ppose.inference.tuning.settings import Settings

_ROUNDS = 8
# The slowest ratio to the fastest that stays in after one round, two, and so on.
_LIMITS = (3.0, 1.6, 1.3, 1.2, 1.1)
_OPENING = 0.65  # share of the time for opening; the rest is for rounds
_FIRST_ROUNDS, _VARIED = 2, 3  # rounds of all pairs; how many of the best are varied
# Settings replace the default if they take at most this share of its time, and win this share of the rounds.
FASTER, _ROUNDS_WON = 0.97, 0.75
_EQUAL = 1.02  # within this ratio to the fastest, exact settings and earlier ones win


class Bench(Protocol):
    """Opens and runs settings."""

    def open(self, settings: Settings) -> None:
        """Prepare settings; a PposeError says why they do not run."""
        ...

    def run(self, settings: Settings) -> float:
        """Seconds a person over one turn; raises as `open` does."""
        ...

    def close(self, settings: Settings) -> None:
        """Close settings."""
        ...


@dataclass
class Contest:
    """One search: for one person at a time, or for ``many``.

    It takes about ``budget`` seconds of ``clock``. ``seconds`` holds the seconds a person of all settings, by
    round; ``problems`` says why some do not run; for ``unopened`` there was no time.
    """

    bench: Bench
    clock: Callable[[], float]
    budget: float
    many: bool = False
    default: Settings | None = None
    seconds: dict[Settings, dict[int, float]] = field(default_factory=dict)
    problems: dict[Settings, str] = field(default_factory=dict)
    unopened: list[Settings] = field(default_factory=list)
    _left_behind: set[Settings] = field(default_factory=set)
    _round: int = 0
    _begin: float = 0.0

    def search(self, pairs: Sequence[Settings]) -> list[Settings]:
        """Measure pairs of export and runtime, in the order of `auto`, and variations of the best of them.

        Returns the settings that stayed in to the end, the fastest first; empty if nothing runs.
        """
        self._begin = self.clock()
        first = [default_of(pair, many=self.many) for pair in pairs]
        left = self._race(first, _FIRST_ROUNDS)
        if self.many:
            ends = [other for pair in self._pairs_of(left) for other in vary_streams(pair, ends=True)]
            left = self._race([*left, *ends], _FIRST_ROUNDS)
            varied = [other for best in left[:_VARIED] for other in vary_batches(best)]
            varied += [other for pair in self._pairs_of(left[:1]) for other in vary_streams(pair)]
        else:
            varied = [other for best in left[:_VARIED] for other in vary_threads(best)]
        return self._race([*left, *varied], _ROUNDS)

    @property
    def base(self) -> Settings:
        """The default; LookupError before anything runs."""
        if self.default is None:
            raise LookupError("nothing runs")
        return self.default

    def ratio(self, settings: Settings) -> float:
        """The median over rounds of the time divided by the default's."""
        return statistics.median(self.ratios(settings))

    def ratios(self, settings: Settings) -> list[float]:
        """The time divided by the default's, by round."""
        base = self.seconds[self.base]
        ratios = [seconds / base[n] for n, seconds in self.seconds[settings].items() if n in base]
        return ratios or [math.inf]

    def _pairs_of(self, settings: Iterable[Settings]) -> list[Settings]:
        """One of these settings for each export, runtime and precision."""
        found = {(s.path, s.runtime, s.precision): s for s in settings}
        return list(found.values())

    def _race(self, runners: Sequence[Settings], rounds: int) -> list[Settings]:
        """Run them in rounds; returns those not left behind, the fastest first."""
        running = []
        for settings in dict.fromkeys(runners):
            if settings in self._left_behind:
                continue
            if settings in self.seconds or self._open(settings):
                running.append(settings)
        for number in range(rounds):
            if number > 1 and self._spent() > 1:
                break
            self._round += 1
            for settings in reversed(running) if number % 2 else list(running):
                self._run(settings)
            if self.default is not None and self.default in self.problems:
                self._replace_default(running)
            running = self._keep([s for s in running if s not in self.problems])
        return sorted(running, key=self.ratio)

    def _spent(self) -> float:
        """The share of the budget that is spent."""
        return (self.clock() - self._begin) / self.budget

    def _open(self, settings: Settings) -> bool:
        if self.default is not None and self._spent() > _OPENING:
            self.unopened.append(settings)
            return False
        try:
            self.bench.open(settings)
        except PposeError as error:
            self.problems[settings] = str(error)
            return False
        self.seconds[settings] = {}
        self.default = self.default or settings
        return True

    def _run(self, settings: Settings) -> None:
        try:
            self.seconds[settings][self._round] = self.bench.run(settings)
        except PposeError as error:
            self.problems[settings] = str(error)

    def _replace_default(self, running: Sequence[Settings]) -> None:
        """Take the next that runs, as `auto` would."""
        self.default = next((s for s in running if s not in self.problems), None)

    def _keep(self, running: Sequence[Settings]) -> list[Settings]:
        kept = []
        best = min((self.ratio(s) for s in running), default=1.0)
        for settings in running:
            ratios = self.ratios(settings)
            limit = _LIMITS[min(len(ratios), len(_LIMITS)) - 1]
            if settings == self.default or statistics.median(ratios) <= limit * best:
                kept.append(settings)
            else:
                self._left_behind.add(settings)
                self.bench.close(settings)
        return kept


def list_faster(contest: Contest, left: Sequence[Settings]) -> list[Settings]:
    """The settings of ``left`` that are clearly faster than the default, best first, then the default.

    Among equal times, within 2 %, exact settings come first, then the order of `auto`.
    """
    order = {settings: place for place, settings in enumerate(contest.seconds)}
    rest = [s for s in left if s != contest.base and _is_faster(contest.ratios(s))]
    rest.sort(key=contest.ratio)
    found = []
    while rest:
        equal = [s for s in rest if contest.ratio(s) <= _EQUAL * contest.ratio(rest[0])]
        best = min(equal, key=lambda s: (not s.is_exact, order[s]))
        found.append(best)
        rest.remove(best)
    return [*found, contest.base]


def _is_faster(ratios: Sequence[float]) -> bool:
    won = sum(ratio < 1 for ratio in ratios)
    return statistics.median(ratios) <= FASTER and won >= _ROUNDS_WON * len(ratios)
