"""The simulation of fleets, against what can be reckoned by hand."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).resolve().parent.parent.parent / "benchmarks" / "batch.py"


@pytest.fixture(scope="module")
def batch():
    spec = importlib.util.spec_from_file_location("benchmark_of_batch", _SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fleet(batch):
    """Four workers, 10 s to start, 10 s a chunk."""
    return batch.Fleet(workers=4, cores=4, start=10, image=0.1, chunk=100, spread=0)


def test_workers_share_chunks(batch, fleet):
    assert batch.simulate(fleet, 4000) == (pytest.approx(10 + 10 * 10), 0)
    assert batch.simulate(fleet, 4001)[0] == pytest.approx(110 + 0.1)
    assert batch.simulate(replace(fleet, workers=1), 1000)[0] == pytest.approx(110)


def test_workers_on_too_few_cores_gain_nothing(batch, fleet):
    two = batch.simulate(replace(fleet, workers=2, cores=2, start=0), 4000)[0]
    assert batch.simulate(replace(fleet, cores=2, start=0), 4000)[0] == pytest.approx(two)


def test_a_store_that_is_asked_for_too_much_sets_the_time(batch, fleet):
    size, images = 1e5, 4000
    time = batch.simulate(replace(fleet, start=0, size=size, bandwidth=2e6), images)[0]
    assert time == pytest.approx(images * size / 2e6)
    assert batch.simulate(replace(fleet, size=size, bandwidth=1e9), images)[0] == pytest.approx(110)


def test_slow_workers_and_deaths_cost_what_they_must(batch, fleet):
    spread = batch.simulate(replace(fleet, slow=1.0, slowness=3), 4000)[0]
    assert spread == pytest.approx(10 + 300)
    # A death each hour of work in 1,000 workers: half a chunk and a start are lost each time.
    many = replace(fleet, workers=1000, cores=1000, deaths=1.0, chunk=1000)
    seconds, lost = batch.simulate(many, 36_000_000)
    hours = 1000 * seconds / 3600
    assert lost == pytest.approx(hours, rel=0.1)
    assert seconds == pytest.approx(3610 * (1 + 60 / 3600), rel=0.03)
