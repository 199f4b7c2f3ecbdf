"""Which jobs run together."""

import threading
from concurrent.futures import wait
from contextlib import ExitStack

import cv2
import numpy as np
import pytest

from ppose.serving.batching import Batcher, Job, batch_sizes


class _Predictor:
    """Records the people of each batch; its first one waits for `go`."""

    batch_size = 16

    def __init__(self):
        self.sizes, self.go = [], threading.Event()

    def iter_poses(self, scenes):
        scenes = list(scenes)
        self.sizes.append(sum(len(boxes) for _, boxes, _ in scenes))
        assert self.go.wait(20)
        for scene in scenes:
            yield scene, [scene[1]]


def _job(people=1, pixels=16):
    data = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    return Job(data=data, bboxes_xyxy=np.zeros((people, 4)), pixels=pixels)


def _run(jobs, **options):
    """Sizes of the batches of jobs that come while the first of them runs; each gets its own answer."""
    predictor = _Predictor()
    settings = {"delay": 0.0, "pixels": 1000, "on_batch": lambda size: None, **options}
    batcher = Batcher(predictor, None, **settings)
    batcher.submit(jobs[0])
    while not predictor.sizes:
        pass
    for job in jobs[1:]:
        batcher.submit(job)
    predictor.go.set()
    batcher.close()
    for job in jobs:
        assert job.found.result(timeout=0)[1][0] is job.bboxes_xyxy
    return predictor.sizes


@pytest.mark.parametrize(("waiting", "sizes"), [(13, [8, 4, 1]), (16, [16]), (21, [16, 4, 1]), (2, [2])])
def test_batches_have_sizes_of_powers_of_two(waiting, sizes):
    assert _run([_job() for _ in range(waiting + 1)]) == [1, *sizes]
    assert {1, *sizes} <= {*batch_sizes(_Predictor.batch_size)}


def test_which_sizes_there_are():
    assert [batch_sizes(most) for most in (1, 2, 12, 16)] == [[1], [1, 2], [1, 2, 4, 8, 12], [1, 2, 4, 8, 16]]


def test_people_count_and_nobody_is_left_or_alone_for_ever():
    assert _run([_job(), _job(3), _job(3), _job(3), _job(40), _job(0)]) == [1, 49, 0]
    assert _run([_job(), _job(3), _job(3), _job(1)]) == [1, 3, 4]


def test_large_images_do_not_run_together():
    assert _run([_job(), *(_job(pixels=600) for _ in range(3))]) == [1, 1, 1, 1]


def test_a_cancelled_job_does_not_run():
    jobs = [_job(), _job(), _job()]
    predictor = _Predictor()
    batcher = Batcher(predictor, None, delay=0.0, pixels=1000, on_batch=lambda size: None)
    batcher.submit(jobs[0])
    while not predictor.sizes:
        pass
    assert jobs[1].found.cancel()
    for job in jobs[1:]:
        batcher.submit(job)
    predictor.go.set()
    batcher.close()
    assert predictor.sizes == [1, 1]


def test_a_batch_waits_for_as_many_as_there_just_were_and_one_alone_for_nobody():
    predictor = _Predictor()
    predictor.go.set()
    batcher = Batcher(predictor, None, delay=60.0, pixels=1000, on_batch=lambda size: None)

    def ask(count):
        jobs = [_job() for _ in range(count)]
        with ExitStack() as reading:
            for _ in jobs:
                reading.enter_context(batcher.reading())
            for job in jobs:
                batcher.submit(job)
        return [job.found for job in jobs]

    for count in (1, 4, 4):
        assert not wait(ask(count), timeout=20).not_done
    two = ask(2)
    assert not wait(two, timeout=0.1).done
    batcher.close()
    assert predictor.sizes == [1, 4, 4, 2]
