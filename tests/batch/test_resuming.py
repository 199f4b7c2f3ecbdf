"""Jobs that are interrupted, or lose chunks: what is missing is made, and what stays missing is an error."""

import json
import os
import threading
import time
from dataclasses import replace

import batch_jobs
import pyarrow as pa
import pyarrow.parquet
import pytest

from ppose.batch import engines, job
from ppose.batch.chunks import Chunk
from ppose.batch.worker import Outcome, Stopped, Worker
from ppose.errors import DataError


def test_a_job_goes_on_with_what_is_missing(settings, pictures, monkeypatch, tmp_path):
    about = settings(pictures(9))
    before = batch_jobs.run(about)
    times = {}
    for number, file in enumerate(sorted((tmp_path / "out").glob("part-*"))):
        os.utime(file, (number, number))
        times[file.name] = number
    (tmp_path / "out" / "part-00000001.parquet").unlink()
    assert batch_jobs.run(about) == before
    redone = {f.name: f.stat().st_mtime for f in (tmp_path / "out").glob("part-*")}
    assert redone.pop("part-00000001.parquet") > 1
    assert redone == {name: time for name, time in times.items() if "1.parquet" not in name}
    monkeypatch.setattr(engines, "Worker", None)  # nothing is missing, nothing works
    assert batch_jobs.run(about) == before


def test_an_engine_that_loses_chunks_is_asked_again(settings, pictures, monkeypatch):
    monkeypatch.setattr(job, "_WAIT", 0)
    asked, lost = [], iter([1, 1, 0])

    def lose(task, chunks):
        asked.append([chunk.number for chunk in chunks])
        yield from engines.run_in_threads(task, chunks[next(lost) :], concurrency=1)

    rows = batch_jobs.run(settings(pictures(9)), lose)
    assert [row["index"] for row in rows] == list(range(9))
    assert asked == [[0, 1, 2], [0], [0]]


def test_what_stays_missing_is_an_error(settings, pictures, monkeypatch):
    monkeypatch.setattr(job, "_WAIT", 0)

    def fail(task, chunks):
        yield from engines.run_in_threads(task, chunks[1:], concurrency=1)
        yield from [Outcome(chunk.number, failure="the store is full") for chunk in chunks[:1]]

    about = settings(pictures(9))
    expected = r"^1 of 3 parts are missing \(part-00000000.parquet: the store is full\); run the command"
    with pytest.raises(DataError, match=expected):
        batch_jobs.run(about, fail)
    assert len(batch_jobs.run(about)) == 9


def test_parts_that_went_to_another_machines_disk(settings, pictures, monkeypatch):
    monkeypatch.setattr(job, "_WAIT", 0)

    def make(task, chunks):
        yield from [Outcome(chunk.number) for chunk in chunks]

    with pytest.raises(DataError, match=r"3 of 3 parts are missing .*an --output_dir that all machines"):
        batch_jobs.run(settings(pictures()), make)


def test_interrupted_threads_end_within_an_image(monkeypatch):
    ended, both = [], threading.Barrier(2)

    class Endless:
        """Works on all chunks but the first until it is stopped."""

        def __init__(self, task, is_stopped):
            self._is_stopped = is_stopped

        def __call__(self, chunk):
            both.wait(20)
            end = time.monotonic() + 20
            while chunk.number and not self._is_stopped() and time.monotonic() < end:
                time.sleep(0.002)
            ended.append((chunk.number, self._is_stopped()))
            return Outcome(chunk.number)

    monkeypatch.setattr(engines, "Worker", Endless)
    running = engines.run_in_threads(None, [Chunk(number) for number in range(9)], concurrency=2)
    assert next(running).number == 0
    running.close()  # as an interrupt does
    assert ended == [(0, False), (1, True)]


def test_a_worker_looks_whether_it_is_to_stop(settings, pictures, monkeypatch):
    monkeypatch.setattr(engines, "Worker", lambda task, _: Worker(task, lambda: True))
    with pytest.raises(Stopped):
        batch_jobs.run(settings(pictures()))


def test_a_store_that_fails_twice_is_asked_again(settings, pictures, monkeypatch, caplog):
    from fsspec.implementations.local import LocalFileSystem

    monkeypatch.setattr("ppose.batch.place._WAITS", (0, 0))
    read, failures = LocalFileSystem.cat_file, iter([True, True])

    def fail(self, path, **options):
        if path.endswith("0000.png") and next(failures, False):
            raise ConnectionError("reset")
        return read(self, path, **options)

    monkeypatch.setattr(LocalFileSystem, "cat_file", fail)
    assert [row["error"] for row in batch_jobs.run(settings(pictures(2, broken=())))] == [None, None]
    assert "trying again" not in caplog.text


def test_parts_say_whose_they_are(settings, pictures, tmp_path):
    batch_jobs.run(settings(pictures()))
    about = json.loads(
        pa.parquet.read_metadata(tmp_path / "out" / "part-00000000.parquet").metadata[b"ppose"]
    )
    assert about["keypoints"] == ["red", "blue"]
    assert (about["schema"], about["images"], about["bad"], about["people"]) == (1, 3, 1, 2)
    assert json.loads((tmp_path / "out" / "_job.json").read_text())["kind"] == "images"


def test_another_job_is_refused(settings, pictures, tmp_path):
    about = settings(pictures())
    batch_jobs.run(about)
    (tmp_path / "pictures" / "another.png").write_bytes(b"")
    for other, words in (
        (about, r"files is 7 there, 8 here, input_sha256 differs"),
        (replace(about, images_per_part=2), "options images_per_part is 3 there, 2 here"),
    ):
        with pytest.raises(DataError, match=f"another job: choose another --output_dir .*{words}"):
            batch_jobs.run(other)
    part = tmp_path / "out" / "part-00000000.parquet"
    for data, words in ((part.read_bytes(), "is of another job"), (b"", "is damaged, or not written")):
        batch_jobs.run(replace(about, output=str(tmp_path / "other"), images_per_part=4))
        (tmp_path / "other" / part.name).write_bytes(data)
        with pytest.raises(DataError, match=f"part-00000000.parquet of .*other {words}"):
            batch_jobs.run(replace(about, output=str(tmp_path / "other"), images_per_part=4))
        (tmp_path / "other" / part.name).unlink()
    (tmp_path / "out" / "_job.json").unlink()
    with pytest.raises(DataError, match=r"holds parts, but no _job\.json"):
        batch_jobs.run(about)
