"""Commands without enough descriptors, threads, memory or space; two runs in a folder; a deleted folder."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from robustness.effort import generator, tries
from robustness.interrupted import ROOT, START
from robustness.poor_machine import KINDS, starve
from robustness.small_runs import COMMANDS, fill_place, make_arguments

_LOADING = ("train", "eval")  # commands that share memory with workers


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folder with all inputs of the commands."""
    folder = tmp_path_factory.mktemp("place")
    fill_place(folder)
    return folder


def _try(kind, names, count, place, model_dir, folder):
    if os.geteuid() != 0 and kind not in ("descriptors", "memory", "threads"):
        pytest.skip("needs a mount")
    rng = generator(kind)
    for number in range(count):
        name = names[rng.integers(len(names))]
        arguments = make_arguments(name, place, model_dir)
        what, faults = starve(kind, arguments, folder / f"{number}", rng)
        assert not faults, f"{name}: {what}: {faults}"


@pytest.mark.parametrize("kind", ["descriptors", "memory", "read-only output"])
def test_a_few_poor_machines(kind, place, model_dir, tmp_path):
    _try(kind, ["convert", "weights"], 2, place, model_dir, tmp_path)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS)
def test_poor_machines(kind, place, model_dir, tmp_path):
    names = _LOADING if kind == "shared memory" else [name for name in COMMANDS if name not in _SLOW]
    _try(kind, names, tries(3), place, model_dir, tmp_path)


_SLOW = (
    "batch ray",
    "benchmark",
    "tune",
    "export onnx",
    "quantize onnx",
    "quantize paddle",
    "export decoding",
    "train",
)


def _start(place, folder, *more):
    arguments = [text.replace("OUT", str(folder)) for text in make_arguments("train", place, folder)]
    return subprocess.Popen(
        [sys.executable, "-c", START, *arguments, "worker_num=0", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def _wait_for(file, process):
    while not file.exists() and process.poll() is None:
        time.sleep(0.01)


def _assert_one_error(process, errors):
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    assert errors.count("error: ") == 1, errors


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(tries(1)))
def test_the_second_run_in_a_folder_is_refused(seed, place, tmp_path):
    first = _start(place, tmp_path, "epoch=9")
    _wait_for(tmp_path / "naive_lite_hrnet_18_256x192_coco" / "run.pid", first)
    second = _start(place, tmp_path)
    _, errors = second.communicate(timeout=60)
    _assert_one_error(second, errors)
    assert f"process {first.pid}" in errors
    first.send_signal(signal.SIGTERM)
    assert first.communicate(timeout=60) is not None
    assert first.returncode == 143


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(tries(1)))
def test_the_run_of_a_killed_one_is_taken_over(seed, place, tmp_path):
    first = _start(place, tmp_path)
    _wait_for(tmp_path / "naive_lite_hrnet_18_256x192_coco" / "run.pid", first)
    time.sleep(generator(f"{seed}").uniform(0, 2))
    first.kill()
    first.communicate()
    second = _start(place, tmp_path, "epoch=1")
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert "is taken over" in errors
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(tries(2)))
def test_a_folder_that_is_deleted_under_a_run(seed, place, tmp_path):
    run = _start(place, tmp_path, "epoch=9")
    folder = tmp_path / "naive_lite_hrnet_18_256x192_coco"
    _wait_for(folder / "run.pid", run)
    time.sleep(generator(f"{seed}").uniform(0, 2.5))
    shutil.rmtree(folder, ignore_errors=True)
    _, errors = run.communicate(timeout=90)
    if run.returncode:  # else it has created the folder again
        _assert_one_error(run, errors)
