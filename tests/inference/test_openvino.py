"""What is OpenVINO's alone: compiled models that are kept, and signals once a model is given up."""

import dataclasses
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ppose.inference.model_folder import read_model_folder
from ppose.inference.runtimes import compiled_cache, open_runtime, openvino_runtime
from ppose.inference.runtimes.compiled_cache import CompiledCache

_GIVE_UP = """
import signal, sys, threading
import numpy as np
from ppose.inference.model_folder import read_model_folder
from ppose.inference.runtimes import open_runtime

def load():
    opened = open_runtime(read_model_folder(sys.argv[1]), "openvino")
    opened(np.zeros((1, 3, 96, 64), np.float32))
    return opened

signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
held = [load()]
{steps}
assert not held
signal.raise_signal(signal.SIGUSR1)
"""

_FIRST_USE = """
import sys, threading
import numpy as np
from ppose.inference.runtimes.openvino_runtime import openvino

sys.setswitchinterval(1e-6)
together = threading.Barrier(4)

def use():
    together.wait()
    openvino.Type.f32.to_dtype()
    openvino.Tensor(np.zeros(1, np.float32)).data

threads = [threading.Thread(target=use) for _ in range(4)]
for thread in threads:
    thread.start()
"""


def test_threads_may_be_the_first_to_use_it(run_script):
    """Without what the module does at import, 11 of 12 tries never end."""
    assert run_script("-c", _FIRST_USE, timeout=60).returncode == 0


def test_openvino_keeps_compiled_models(model_dir, tmp_path):
    """One for one person, one for each size that comes often, one for all others."""
    image = np.random.default_rng(0).random((5, 3, 96, 64), np.float32)
    opened = open_runtime(read_model_folder(model_dir), "openvino", cache_dir=tmp_path, batches=[4])
    kept = []
    for count in (1, 2, 3, 4, 5):
        found = opened(image[:count])
        np.testing.assert_allclose(found[-1:], opened(image[count - 1 : count]), atol=1e-6)
        kept.append(len([file for file in tmp_path.rglob("*.blob") if file.stem != "shapes"]))
    assert kept == [1, 2, 2, 3, 3]


def test_other_runtimes_need_no_sizes(model_dir):
    opened = open_runtime(read_model_folder(model_dir), "onnxruntime", batches=[4])
    assert opened(np.zeros((4, 3, 96, 64), np.float32)).shape == (4, 2, 24, 16)


class Watched:
    """OpenVINO's core, and what was asked of it."""

    def __init__(self):
        self.asked, self._core = [], openvino_runtime._CORE

    def __getattr__(self, name):
        self.asked.append(name)
        return getattr(self._core, name)


@pytest.fixture
def core(monkeypatch):
    watched = Watched()
    monkeypatch.setattr(openvino_runtime, "_CORE", watched)
    return watched


def find(folder, image, **options):
    return open_runtime(folder, "openvino", cpu_threads=2, **options)(image)


def test_streams_share_no_int8_weights(model_dir, core):
    """OpenVINO spoils them: each that runs at once has a compiled model, of one stream, and others wait."""
    folder = dataclasses.replace(read_model_folder(model_dir), quantization_sha256="ab" * 32)
    opened = open_runtime(folder, "openvino", cpu_threads=2, streams=2)
    image, both = np.zeros((1, 3, 96, 64), np.float32), threading.Barrier(2)
    real = opened._opened._make_request
    opened._opened._make_request = lambda *given: (both.wait(10), real(*given))[1]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(opened, [image] * 6))
    assert core.asked.count("compile_model") + core.asked.count("import_model") == 2
    assert "NUM_STREAMS" not in opened._opened._settings
    assert opened.callers == 2


def test_a_second_start_neither_reads_nor_compiles(model_dir, core, tmp_path, monkeypatch):
    monkeypatch.setenv("PPOSE_HOME", str(tmp_path))
    folder, image = read_model_folder(model_dir), np.random.default_rng(0).random((4, 3, 96, 64), np.float32)
    for options in ({}, {"hint": "throughput"}):
        core.asked.clear()
        first = find(folder, image, **options)
        assert core.asked == ["read_model", "compile_model"]
        core.asked.clear()
        np.testing.assert_array_equal(find(folder, image, **options), first)
        assert core.asked == ["import_model"]
    assert len(list((tmp_path / "openvino").rglob("4.blob"))) == 1


def test_another_model_or_setting_is_compiled_anew(model_dir, core, tmp_path):
    folder, image = read_model_folder(model_dir), np.zeros((4, 3, 96, 64), np.float32)
    other = dataclasses.replace(folder, files={**folder.files, "model.onnx": "0" * 64})
    for model, options in ((folder, {}), (other, {}), (folder, {"hint": "throughput"})):
        core.asked.clear()
        find(model, image, cache_dir=tmp_path, **options)
        assert "compile_model" in core.asked


def test_what_is_kept_and_damaged_is_made_anew(model_dir, core, tmp_path):
    folder, image = read_model_folder(model_dir), np.random.default_rng(0).random((4, 3, 96, 64), np.float32)
    first = find(folder, image, cache_dir=tmp_path)
    (blob,) = tmp_path.rglob("any.blob")
    whole = blob.read_bytes()
    middle = len(whole) // 2
    for damaged in (b"", whole[:-100], whole[:100], whole[:middle] + b"\xff" * 9 + whole[middle + 9 :]):
        blob.write_bytes(damaged)
        core.asked.clear()
        np.testing.assert_array_equal(find(folder, image, cache_dir=tmp_path), first)
        assert "compile_model" in core.asked
        assert len(blob.read_bytes()) > middle


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(model_dir, tmp_path):
    (tmp_path / "file").write_text("")
    image = np.zeros((1, 3, 96, 64), np.float32)
    assert find(read_model_folder(model_dir), image, cache_dir=tmp_path / "file").shape == (1, 2, 24, 16)


def test_old_models_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_cache, "_MOST_BYTES", 400)  # three, with their checksums
    caches = [CompiledCache.of(tmp_path, number) for number in range(3)]
    for age, cache in enumerate(caches):
        cache.write("one", bytes(100))
        os.utime(cache.folder, (1000 + age, 1000 + age))
    assert caches[0].read("one") is not None  # used last, now
    CompiledCache.of(tmp_path, 3).write("one", bytes(100))
    assert [cache.read("one") is None for cache in caches] == [False, True, False]


@pytest.mark.parametrize(
    "steps",
    [
        "held[0] = load(); held.clear()",
        "thread = threading.Thread(target=held.clear); thread.start(); thread.join()",
    ],
    ids=["after another", "in another thread"],
)
def test_signals_are_handled_when_a_model_is_given_up(run_script, model_dir, steps):
    result = run_script("-c", _GIVE_UP.format(steps=steps), model_dir)
    assert (result.returncode, result.stdout) == (0, "handled\n"), result.stderr


def test_threads_are_pinned_only_where_a_model_has_all_cores(monkeypatch):
    """Several models would pin theirs to the same cores: two of one thread took 1.75 times as long."""
    monkeypatch.setattr(openvino_runtime, "own_cores", lambda: 4)
    assert openvino_runtime.make_settings("fp32", 3, 1)["ENABLE_CPU_PINNING"] is False
    assert "ENABLE_CPU_PINNING" not in openvino_runtime.make_settings("fp32", 4, 2)
    apart = openvino_runtime.make_settings("fp32", 4, 2, is_apart=True)
    assert (apart["ENABLE_CPU_PINNING"], apart["INFERENCE_NUM_THREADS"]) == (False, 2)
