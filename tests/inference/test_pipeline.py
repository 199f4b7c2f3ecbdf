"""Images go through in order, side by side, and few at once, whatever goes wrong with some of them."""

import gc
import itertools
import threading
import time
import weakref
from contextlib import closing

import numpy as np
import pytest

from ppose.errors import DataError
from ppose.inference.pipeline import Steps, run_pipeline
from ppose.inference.poses import Pose
from ppose.keypoints.builtin import COCO17

COUNT = 60


class Finder:
    """Finds as many people as an image has boxes, each of whom is that box; keeps the sizes of batches."""

    keypoint_set = COCO17

    def __init__(self, callers, batch_size=4, pixels=(10, 10), fail=None):
        self.callers, self.batch_size, self._size, self._fail = callers, batch_size, pixels, fail
        self.batches, self._running, self.most_at_once, self._lock = [], 0, 0, threading.Lock()

    def cut_out(self, image, boxes):
        return [{"bbox_xyxy": box} for box in boxes], self._size

    def find_poses(self, samples):
        with self._lock:
            self._running += 1
            self.most_at_once = max(self._running, self.most_at_once)
            self.batches.append(len(samples))
        time.sleep(0.001 * (len(self.batches) % 3))  # later batches may be done earlier
        with self._lock:
            self._running -= 1
        if any(sample["bbox_xyxy"][0] == self._fail for sample in samples):
            raise RuntimeError("the network fails")
        return [Pose(np.zeros((17, 2)), np.zeros(17), 0.0, sample["bbox_xyxy"]) for sample in samples]


class Picture:
    """Something that can be watched as it goes."""


def boxes_of(item):
    """None to six people, whose boxes say whose they are."""
    return [(item, person) for person in range(item * 7 % 11 % 7)]


def steps(read=None, finish=None, **more):
    def describe(scene):
        if finish is not None:
            finish(scene.item)
        assert scene.known == scene.item
        return scene.item, [pose.bbox_xyxy for pose in scene.poses]

    def look(item):
        if read is not None:
            read(item)
        return Picture(), boxes_of(item), item

    return Steps(read=look, arrange=lambda scene: scene, finish=describe, **more)


@pytest.mark.parametrize("callers", [1, 2, 5])
@pytest.mark.parametrize("images_at_once", [None, 1, 3])
def test_all_come_in_order_with_their_own_people(callers, images_at_once):
    finder = Finder(callers)
    read = lambda item: time.sleep(0.001 * (item % 3))  # noqa: E731
    found = list(run_pipeline(finder, range(COUNT), steps(read), images_at_once=images_at_once))
    assert found == [(item, boxes_of(item)) for item in range(COUNT)]
    assert finder.most_at_once <= callers + 1
    assert sum(finder.batches) == sum(len(boxes_of(item)) for item in range(COUNT))


@pytest.mark.parametrize(("callers", "people"), [(1, lambda item: [(item, 0)]), (3, boxes_of)])
def test_batches_are_full_but_for_the_last(callers, people):
    finder = Finder(callers)
    asked = Steps(
        read=lambda item: (None, people(item), None), arrange=lambda scene: scene, finish=lambda scene: scene
    )
    list(run_pipeline(finder, range(COUNT + 1), asked))
    assert sorted(finder.batches)[1:] == [4] * (len(finder.batches) - 1)


def test_several_are_in_the_network_at_once():
    finder = Finder(3)
    together = threading.Barrier(3, timeout=20)
    one, turns = finder.find_poses, itertools.count()

    def find_poses(samples):
        if next(turns) < 3:
            together.wait()
        return one(samples)

    finder.find_poses = find_poses
    list(run_pipeline(finder, range(COUNT), steps()))


@pytest.mark.parametrize("callers", [1, 4])
@pytest.mark.parametrize("where", ["source", "read", "network", "arrange", "finish"])
@pytest.mark.parametrize("images_at_once", [None, 1])
def test_what_comes_before_an_error_is_done(callers, where, images_at_once):
    bad = 30

    def fail(item):
        time.sleep(0.001 * (item % 3))
        if item == bad:
            raise RuntimeError("it fails")
        return item

    def source():
        yield from range(bad)
        fail(bad)

    asked = {
        "read": steps(fail),
        "finish": steps(finish=fail),
        "arrange": Steps(
            read=lambda item: (None, boxes_of(item), None),
            arrange=lambda scene: fail(scene.item),
            finish=lambda item: (item, boxes_of(item)),
        ),
    }.get(where, steps())
    # Of a network's error nobody knows whose it is: what is in a batch of its own is another's.
    finder = Finder(callers, batch_size=1, fail=bad if where == "network" else None)
    items = source() if where == "source" else range(COUNT)
    found = []
    with pytest.raises(RuntimeError, match="fails"):  # noqa: PT012 (what came before counts)
        for result in run_pipeline(finder, items, asked, images_at_once=images_at_once):
            found.append(result)
    assert found == [(item, boxes_of(item)) for item in range(bad)]


@pytest.mark.parametrize("callers", [1, 4])
def test_what_cannot_be_read_is_left_out_and_reported_in_order(callers):
    skipped = []

    def read(item):
        time.sleep(0.001 * (item % 3))
        if item % 7 == 3:
            raise DataError(f"no {item}")

    found = list(run_pipeline(Finder(callers), range(COUNT), steps(read, skip=skipped.append)))
    assert [item for item, _ in found] == [item for item in range(COUNT) if item % 7 != 3]
    assert list(map(str, skipped)) == [f"no {item}" for item in range(COUNT) if item % 7 == 3]
    with pytest.raises(DataError, match="no 3"):
        list(run_pipeline(Finder(callers), range(COUNT), steps(read)))


@pytest.mark.parametrize("callers", [1, 4])
def test_nothing_runs_any_more_when_it_is_left(callers):
    """As by Ctrl-C: what was begun is done, and counts; nothing else is begun."""
    done = []

    def finish(item):
        time.sleep(0.005)
        done.append(item)

    results = run_pipeline(Finder(callers), range(COUNT), steps(finish=finish))
    with pytest.raises(KeyboardInterrupt), closing(results):  # noqa: PT012
        next(results)
        raise KeyboardInterrupt
    before = list(done)
    time.sleep(0.05)
    assert done == before
    assert 0 < len(done) < COUNT / 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ppose")]


def count_live(finder, items, **options):
    """The most images that were there at once."""
    live, most, lock = 0, 0, threading.Lock()

    def gone():
        nonlocal live
        with lock:
            live -= 1

    def read(item):
        nonlocal live, most
        picture = Picture()
        weakref.finalize(picture, gone)
        with lock:
            live += 1
            most = max(most, live)
        return picture, boxes_of(item), None

    asked = Steps(read=read, arrange=lambda scene: scene, finish=lambda scene: scene.item)
    for _ in run_pipeline(finder, items, asked, **options):
        time.sleep(0.0005)  # a slow reader of results
    gc.collect()
    assert live == 0
    return most


@pytest.mark.parametrize("callers", [1, 2])
def test_few_images_are_there_at_once(callers):
    """However many there are; 3 batches a caller are on their way, and 16 images with one caller."""
    finder = Finder(callers)
    few = {1: finder.batch_size, 2: 3 * 2 * finder.batch_size}[callers]
    assert count_live(Finder(callers), range(400)) <= few + 2
    assert count_live(Finder(callers), range(100), images_at_once=1) <= 2


@pytest.mark.parametrize("callers", [1, 2])
def test_of_large_images_there_are_fewer(callers):
    """50 million pixels a caller."""
    assert count_live(Finder(callers, pixels=(5000, 4000)), range(60)) <= 2 * callers + 2
    assert count_live(Finder(callers, pixels=(40000, 10000)), range(20)) <= 3
