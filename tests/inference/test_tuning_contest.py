"""Which settings a contest finds fastest, with times that are given."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ppose.errors import DeviceError
from ppose.inference.tuning import tune
from ppose.inference.tuning.agreement import take_sample
from ppose.inference.tuning.contest import Contest, list_faster
from ppose.inference.tuning.settings import Settings
from ppose.keypoints import get_keypoint_set

DEFAULT = Settings(Path("a"), "openvino", "fp32", "fp32", 2)


OTHER = dataclasses.replace(DEFAULT, runtime="onnxruntime")


HALF = dataclasses.replace(DEFAULT, precision="bf16", computes="bf16")


class FakeBench:
    """Runs what takes ``seconds(settings)`` a person; each turn and each opening takes so long of ``now``."""

    def __init__(self, seconds, opening=0.0, broken=()):
        self.seconds, self.opening, self.broken = seconds, opening, broken
        self.now, self.turns, self.open_now = 0.0, 0, set()

    def open(self, settings):
        self.now += self.opening
        if settings.runtime in self.broken:
            raise DeviceError("it does not load")
        self.open_now.add(settings)

    def run(self, settings):
        assert settings in self.open_now
        self.now, self.turns = self.now + 0.2, self.turns + 1
        return self.seconds(settings)

    def close(self, settings):
        self.open_now.remove(settings)


def compete(bench, pairs=(DEFAULT, OTHER, HALF), budget=60.0, many=False):
    contest = Contest(bench, lambda: bench.now, budget, many)
    return contest, list_faster(contest, contest.search(pairs))


def test_the_fastest_comes_first_and_the_slow_are_left_out_early():
    times = {"openvino": 0.010, "onnxruntime": 0.05}
    contest, faster = compete(FakeBench(lambda s: times[s.runtime] * (1 if s.threads == 1 else 2)))
    assert faster[0] == dataclasses.replace(DEFAULT, threads=1)
    assert faster[-1] == DEFAULT == contest.default
    assert len(contest.seconds[OTHER]) == 1
    assert len(contest.seconds[DEFAULT]) > 5
    assert contest.ratio(faster[0]) == pytest.approx(0.5)


def test_a_busy_machine_decides_nothing():
    """Whole rounds are ten times as slow, and single turns; the default is as fast as all others."""
    rng = np.random.default_rng(0)
    bench = FakeBench(
        lambda s: 0.01 * (10 if rng.random() < 0.2 else 1) * (10 if bench.turns % 24 < 6 else 1)
    )
    _, faster = compete(bench)
    assert faster == [DEFAULT]


@pytest.mark.parametrize(("ratio", "first"), [(0.98, DEFAULT), (0.9, OTHER)])
def test_little_is_not_enough_to_change(ratio, first):
    _, faster = compete(FakeBench(lambda s: 0.01 * (ratio if s == OTHER else 1)))
    assert faster[0] == first


def test_of_equals_the_exact_one_is_taken():
    times = {DEFAULT: 1.0, OTHER: 0.802, HALF: 0.8}
    contest, faster = compete(FakeBench(lambda s: times.get(s, 1.0)))
    assert faster == [OTHER, HALF, DEFAULT]
    assert contest.ratio(HALF) < contest.ratio(OTHER)


def test_what_does_not_run_is_reported_and_the_next_is_the_default():
    contest, faster = compete(FakeBench(lambda s: 0.01, broken=("openvino",)))
    assert contest.default == OTHER
    assert faster == [OTHER]
    assert contest.problems[DEFAULT] == "it does not load"


def test_time_is_bounded():
    bench = FakeBench(lambda s: 0.01, opening=5.0)
    contest, _ = compete(bench, budget=10.0)
    assert bench.now < 20
    assert contest.unopened
    assert len(contest.seconds[DEFAULT]) >= 2


def test_many_people_are_tried_in_streams_and_batches():
    def seconds(settings):  # streams help, and batches of 8
        return 0.01 / settings.streams * {1: 2.0, 4: 1.0, 8: 0.8, 16: 1.0}[settings.batch]

    contest, faster = compete(
        FakeBench(seconds), [dataclasses.replace(DEFAULT, threads=4, input_size=(96, 128))], many=True
    )
    assert (contest.default.streams, contest.default.batch) == (4, 8)
    tried = {(s.streams, s.batch) for s in contest.seconds}
    assert {(1, 8), (2, 8), (4, 1), (4, 4), (4, 16)} <= tried
    assert faster == [contest.default]


def test_what_wins_for_one_person_is_compared_though_it_was_closed_among_those_for_many():
    """One person is among the batches that are tried for many, with the very same settings."""

    class Finding(FakeBench):
        def find(self, settings, scenes, seconds):
            assert settings in self.open_now
            return np.ones((len(scenes), 17, 2)), np.ones((len(scenes), 17))

    of_batch = {1: 0.02, 4: 0.01, 16: 0.008}
    bench = Finding(lambda s: of_batch[s.batch] * (0.8 if s.computes == "bf16" else 1))
    contests, _ = tune._search(bench, [DEFAULT, HALF], 600.0)
    assert HALF in contests["throughput"].seconds
    assert HALF not in bench.open_now
    sample = take_sample([Path("a.jpg")], None, get_keypoint_set("coco17"), 5)
    judge = tune._Judge(bench, [DEFAULT, HALF], sample, None)
    assert judge.allows(HALF)


def test_what_cannot_be_compared_is_not_taken():
    class Ending(FakeBench):
        def find(self, settings, scenes, seconds):
            raise DeviceError("its process has ended (exit code -11)")

    bench = Ending(lambda s: 0.005 if s == HALF else 0.01)
    contest, faster = compete(bench)
    judge = tune._Judge(bench, [DEFAULT, HALF], take_sample([Path("a.jpg")], None, "coco17", 5), None)
    chosen, why = tune._choose(contest, faster, judge)
    assert (chosen, judge.losses) == (DEFAULT, {})
    assert "its exactness is unknown: its process has ended (exit code -11)" in why
