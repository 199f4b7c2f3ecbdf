"""Ctrl-C, SIGTERM and SIGHUP at random moments: commands end soon with one line, without partial files."""

from pathlib import Path

import pytest
from robustness.effort import generator, tries
from robustness.interrupted import interrupt, measure
from robustness.small_runs import COMMANDS, fill_place, make_arguments

# Ray takes ten seconds to start and as many to end its processes: only runs with more tries test it.
_NAMES = [name for name in COMMANDS if name != "batch ray" or tries(1) > 1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folder with all inputs of the commands."""
    folder = tmp_path_factory.mktemp("place")
    fill_place(folder)
    return folder


def _try(name: str, count: int, place: Path, model_dir: Path, folder: Path) -> int:
    """The number of signals that ended the command, and did not come after its end."""
    arguments, rng = make_arguments(name, place, model_dir), generator(name)
    whole = measure(arguments, folder / "undisturbed")
    endings = [interrupt(arguments, folder / f"{number}", whole, rng) for number in range(count)]
    assert not [ending for ending in endings if ending.faults]
    return sum(ending.code != 0 for ending in endings)


def test_a_few_signals(place, model_dir, tmp_path):
    names = ("convert", "report", "weights")
    assert sum(_try(name, 2, place, model_dir, tmp_path / name) for name in names)


@pytest.mark.heavy
@pytest.mark.parametrize("name", _NAMES)
def test_signals_at_random_moments(name, place, model_dir, tmp_path):
    _try(name, tries(1), place, model_dir, tmp_path)
