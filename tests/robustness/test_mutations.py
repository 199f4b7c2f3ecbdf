"""The real commands on thousands of damaged files: they succeed, or print a single error line."""

import http.server
import threading
import zlib
from pathlib import Path

import pytest
from robustness.corpus import cut, mutate, whole_files
from robustness.effort import SEED, tries
from robustness.runner import MEMORY, running

_WEIGHTS = ("ppose.commands.weights", "ppose.weights.checkpoint", "ppose.weights.safetensors_file")
_CHECK = (
    "ppose.engine.task",
    "ppose.data.inspection.findings",
    "ppose.data.inspection.sheet",
    "ppose.commands.check",
)
_TRAIN = (
    "ppose.engine.train",
    "ppose.commands.train",
    "ppose.engine.run_lock",
    "filelock",
    "encodings.cp437",
)
_PREDICT = ("ppose.inference.command", "ppose.inference.runtimes.onnx_runtime", "onnxruntime")
# The number of files of each kind in the long run, and the modules that its command imports.
KINDS = {
    "pickles": (5000, _WEIGHTS),
    "archives": (2000, _WEIGHTS),
    "safetensors": (2000, _WEIGHTS),
    "cuts": (100, _WEIGHTS),
    "answers": (500, (*_WEIGHTS, "requests", "filelock", "tqdm")),
    "configs": (500, _CHECK),
    "states": (250, _TRAIN),
    "annotations": (250, _CHECK),
    "images": (200, _PREDICT),
    "videos": (60, _PREDICT),
}
# The number in the short run.
_QUICK = {"pickles": 40, "archives": 40, "safetensors": 40, "answers": 15, "images": 15, "videos": 5}


@pytest.fixture
def answering():
    """Serves the same answer to every request."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle(self):
            self.request.recv(65536)
            self.request.sendall(self.server.answer)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answer = b""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def model(request, kind):
    """The export that runs on images and videos."""
    return request.getfixturevalue("model_dir") if kind in ("images", "videos") else None


def _arguments(kind: str, file: Path, output: Path, model: Path | None) -> list[str]:
    if kind in ("images", "videos"):
        source = [f"--{kind[:-1]}_file", str(file), "--model_dir", str(model), "--runtime", "onnxruntime"]
        return ["predict", *source, "--output_dir", str(output), "--save_json"]
    if kind in ("configs", "annotations"):
        return ["check", str(file), "--output_dir", str(output)]
    if kind == "states":
        config = ["-c", "tinypose_256x192", "-o", f"save_dir={output}", "TrainDataset.dataset_dir=none"]
        return ["train", *config, "--resume", str(file)]
    return ["weights", "convert", str(file), "--output", str(output / "a.safetensors")]


def _try(
    kind: str, count: int, seed: int, folder: Path, server: http.server.HTTPServer, model: Path | None
) -> None:
    modules = KINDS[kind][1]
    ending = {"configs": ".yml", "annotations": ".json", "states": ".npz", "images": ".png"}.get(kind, "")
    with running(modules, folder) as run:
        spoil = cut if kind == "cuts" else mutate
        for number, content in enumerate(spoil(whole_files(kind, folder), count, [SEED, seed])):
            file, output = folder / f"input{ending}", folder / "output"
            file.write_bytes(content)
            source: object = file
            if kind == "answers":
                server.answer = content
                source = f"http://127.0.0.1:{server.server_port}/{number}"
            arguments = _arguments(kind, file, output, model)
            arguments = [str(source) if argument == str(file) else argument for argument in arguments]
            _check(run(arguments), kind, content, output)


def _check(result: dict, kind: str, content: bytes, output: Path) -> None:
    what = f"{kind} {zlib.crc32(content):x}: {result}"
    lines = [line for line in result["errors"].splitlines() if line.startswith("error: ")]
    assert result["code"] in (0, 1, 2), what
    assert "Traceback" not in result["errors"], what
    assert "\x1b" not in result["errors"], what
    # A check that finds faults prints no error line, but has exit code 1.
    assert len(lines) == (result["code"] != 0) or (kind in ("annotations", "configs") and not lines), what
    assert result["seconds"] < 20, what
    assert result["megabytes"] < MEMORY / 1e6 / 4, what
    assert not list(output.rglob("*.part*")), what


@pytest.mark.parametrize("kind", list(_QUICK))
def test_a_few_damaged_files(kind, tmp_path, answering, model):
    _try(kind, _QUICK[kind], 1, tmp_path, answering, model)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", list(KINDS))
def test_thousands_of_damaged_files(kind, tmp_path, answering, model):
    _try(kind, tries(KINDS[kind][0]), 2, tmp_path, answering, model)
