"""tools/self_test_gpu.py where there is no GPU: one line; and what its report says of each check."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from ppose.commandline import run

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def self_test():
    spec = importlib.util.spec_from_file_location("self_test_gpu", ROOT / "tools" / "self_test_gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(self_test, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["self_test_gpu.py", *arguments])
    with pytest.raises(SystemExit) as end:
        run(self_test.main)
    return end.value.code


def test_without_a_gpu_it_is_one_line(self_test, monkeypatch, capsys):
    monkeypatch.setattr(self_test, "count_gpus", lambda: 0)
    assert call(self_test, monkeypatch) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: Paddle finds no GPU here")
    assert err.count("\n") == 1


def test_docker_alone_needs_no_gpu(self_test, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert call(self_test, monkeypatch, "--only", "docker") == 1  # nothing has passed
    out = capsys.readouterr().out
    assert "docker: skipped" in out
    assert "docker is not installed" in out
    assert out.endswith("0 passed, 0 failed, 1 skipped\n")
    assert f"ppose {self_test.ppose.__version__}, Paddle " in out


def test_poses_that_are_off_fail(self_test, monkeypatch):
    bench = self_test.Bench(ROOT, 1)
    poses = {"cpu_fp16": np.zeros((4, 3, 2)), "gpu_fp16": np.full((4, 3, 2), 0.3)}
    monkeypatch.setattr(self_test.Bench, "find_poses", lambda self, model, output, *options: poses[output])
    assert "0.424 px (median)" in bench.compare(Path("model"), "fp16")
    poses["gpu_fp16"][0, :2] = 9
    with pytest.raises(self_test.CheckError, match=r"nine of ten within 0\.5 px"):
        bench.compare(Path("model"), "fp16")
    poses["gpu_fp16"][:] = np.nan
    with pytest.raises(self_test.CheckError):
        bench.compare(Path("model"), "fp16")


def test_a_command_that_fails_is_reported(self_test, tmp_path):
    bench = self_test.Bench(tmp_path, 1)
    self_test.CHECKS["broken"] = lambda bench: bench.call(ROOT / "tools" / "check_release.py", "v0")
    state, said, _ = self_test.run_check("broken", bench)
    assert state == "failed"
    assert "exit code 1: error: the tag is v0" in said
    assert self_test.run_check("nccl", bench)[:2] == ("skipped", "needs two GPUs, 1 found")
