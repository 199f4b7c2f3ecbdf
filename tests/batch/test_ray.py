"""Jobs in Ray's actors: what dies on the way costs time and no row."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import batch_jobs
import psutil
import pytest

from ppose.batch.on_ray import connected, count_workers, run_on_ray
from ppose.errors import DeviceError

pytest.importorskip("ray.data", reason="Ray is missing: pip install 'ppose[ray]'")
pytestmark = pytest.mark.heavy

ROOT = Path(__file__).resolve().parent.parent.parent
ONE_CORE = {"num_cpus": 1, "num_gpus": 0}


@contextmanager
def two_nodes(monkeypatch):
    """A cluster of two nodes with a core each on this machine; and the second of them."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        with connected(cluster.address, 2):
            yield cluster, second
    finally:
        cluster.shutdown()


def find_actors(parent):
    """The processes of actors that have work of ours below a process."""
    below = psutil.Process(parent).children(recursive=True)
    return [process for process in below if "MapWorker" in " ".join(process.cmdline())]


@pytest.fixture
def job(settings, pictures):
    """Settings of 60 parts; the rows that threads give, for comparison."""
    source = pictures(240, broken=(3, 77))
    expected = batch_jobs.run(settings(source, images_per_part=4, output=str(source.parent / "expected")))
    return settings(source, images_per_part=4), expected


def test_an_actor_and_a_node_that_die(job, monkeypatch):
    about, expected = job
    events = []

    def kill(task, chunks):
        for number, outcome in enumerate(run_on_ray(task, chunks, concurrency=2, **ONE_CORE)):
            if number == 5 and not events:
                actor = find_actors(os.getpid())[0]
                actor.kill()
                events.append("actor")
            if number == 15 and len(events) == 1:
                cluster.remove_node(second, allow_graceful=False)
                events.append("node")
            yield outcome

    with two_nodes(monkeypatch) as (cluster, second):
        assert count_workers(1, 0) == 2
        assert batch_jobs.run(about, kill) == expected
    assert events == ["actor", "node"]


def test_a_driver_that_is_killed(job, model_dir, tmp_path):
    about, expected = job
    command = [
        *(sys.executable, "deploy/batch.py", "--model_dir", model_dir, "--input", about.input),
        *("--output_dir", about.output, "--images_per_part", 4, "--runtime", "onnxruntime"),
        *("--engine", "ray", "--concurrency", 2),
    ]
    driver = subprocess.Popen([str(each) for each in command], cwd=ROOT)
    parts = tmp_path / "out"
    while len(list(parts.glob("part-*"))) < 3:
        assert driver.poll() is None
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert len(list(parts.glob("part-*.parquet"))) < 60
    assert batch_jobs.run(about) == expected  # the same job, in threads now


def test_no_cluster_is_one_line():
    with (
        pytest.raises(DeviceError, match=r"^no Ray cluster at 127\.0\.0\.1:9: "),
        connected("127.0.0.1:9", 1),
    ):
        pass
