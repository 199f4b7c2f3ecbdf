"""What a user can do wrong with `ppose batch` is one clear line."""

import sys

import batch_jobs
import pyarrow as pa
import pyarrow.parquet
import pytest

from ppose.errors import DataError


@pytest.fixture
def call(call_ppose, model_dir, tmp_path):
    """Call `ppose batch` in this process: exit code and what it says on stderr."""

    def _call(*arguments):
        done = call_ppose("batch", "--model_dir", model_dir, "--output_dir", tmp_path / "out", *arguments)
        return done.returncode, done.stderr

    return _call


def test_the_command_works(call, pictures, tmp_path):
    code, _ = call("--input", pictures(), "--runtime", "onnxruntime", "--concurrency", 1)
    assert code == 0
    assert len(batch_jobs.read_rows(tmp_path / "out")) == 7


def test_problems_in_one_line(call, pictures, pack, tmp_path, monkeypatch):
    folder = pictures()
    pa.parquet.write_table(pa.table({"image": [1, 2], "photo": ["a", "b"]}), tmp_path / "a.parquet")
    twice = pa.Table.from_arrays([pa.array([b"a"]), pa.array([b"a"])], ["image", "image"])
    pa.parquet.write_table(twice, tmp_path / "twice.parquet")
    (tmp_path / "b.parquet").write_bytes(b"none")
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.png").write_bytes(b"")
    (tmp_path / "mixed" / "a.tar").write_bytes(pack([]))
    table = tmp_path / "a.parquet"
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.setitem(sys.modules, "ray", None)
    for arguments, words in (
        (["--input", tmp_path / "none"], "none: not found, or empty"),
        (["--input", "nosuch://bucket/a"], "cannot reach nosuch://bucket/a: Protocol not known: nosuch"),
        (["--input", "ftp://127.0.0.1:9/a"], "cannot reach ftp://127.0.0.1:9/a: Connection refused"),
        (["--input", tmp_path / "mixed"], "holds images and tar files: choose by a pattern"),
        (["--input", tmp_path / "mixed" / "a.tar"], "none of 0 images could be read"),
        (["--input", table], "the images' column is int64, expected the files' bytes, or URLs as text"),
        (["--input", table, "--image_column", "url"], "has no column 'url', it has image, photo: choose by"),
        (
            ["--input", table, "--image_column", "photo", "--boxes_column", "photo"],
            "the column 'photo' is string, expected lists of [x, y, width, height]",
        ),
        (["--input", tmp_path / "twice.parquet"], "has several columns 'image', it has image, image"),
        (["--input", tmp_path / "b.parquet"], "is not a parquet file"),
        (["--input", table, "--boxes", "a.json"], "--boxes is for image files"),
        (["--input", folder, "--boxes_column", "a"], "--boxes_column is for tables and shards"),
        (["--input", folder, "--output_dir", folder / "out"], "lies in the input"),
        (["--input", folder, "--output_dir", tmp_path / "link" / "out"], "lies in the input"),
        (["--input", folder, "--model_dir", folder], "holds no exported model"),
        (["--input", folder, "--engine", "ray"], "ray is needed and not installed: pip install"),
    ):
        code, said = call(*arguments)
        (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
        assert code == 1
        assert words in line
        assert "Traceback" not in said


def test_options_that_do_not_go_together(call):
    assert call("--input", "a", "--engine", "threads", "--address", "auto")[0] == 2
    assert call("--input", "a", "--det_class", "dog")[0] == 2
    assert call("--input", "a", "--boxes", "b", "--boxes_column", "c")[0] == 2


def test_a_worker_with_other_models_ends_the_job(settings, pictures, monkeypatch):
    digests = iter(["a" * 64, "b" * 64, "c" * 64])
    monkeypatch.setattr("ppose.batch.worker.digest_models", lambda *_: next(digests))
    with pytest.raises(DataError, match="the models' files differ between"):
        batch_jobs.run(settings(pictures()))


def test_a_machine_without_memory_for_the_models_ends_the_job(settings, pictures, monkeypatch):
    """OpenVINO may crash where its library is loaded again."""

    def open_none(*_, **__):
        raise RuntimeError("libopenvino_intel_cpu_plugin.so: failed to map segment from shared object")

    monkeypatch.setattr("ppose.batch.worker.Predictor.from_dir", open_none)
    with pytest.raises(DataError, match="not enough memory"):
        batch_jobs.run(settings(pictures()))
