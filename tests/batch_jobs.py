"""What tests of batch jobs share: their settings, one thread to work, and what readers see of the output."""

from functools import partial

import pytest

from ppose.batch.command import run_batch
from ppose.batch.engines import run_in_threads
from ppose.batch.worker import Settings

for name in ("fsspec", "pyarrow"):
    pytest.importorskip(name, reason="the packages of batch jobs are missing: pip install 'ppose[ray]'")

two_threads = partial(run_in_threads, concurrency=2)


def make_settings(model_dir, source, output, **options):
    predictor = {
        "model_dir": str(model_dir), "runtime": "onnxruntime", "precision": "fp32", "batch_size": 4,
        "device": "cpu", "cpu_threads": 1,
    }  # fmt: skip
    defaults = {
        "image_column": "image", "boxes_column": None, "box_file": None, "classes": None, "threshold": 0.5,
        "images_per_part": 3, "detector": None,
    }  # fmt: skip
    return Settings(input=str(source), output=str(output), predictor=predictor, **{**defaults, **options})


def run(settings, engine=two_threads):
    run_batch(settings, engine)
    return read_rows(settings.output)


def read_rows(output):
    """All rows, as any reader of parquet folders sees them, by file and index."""
    import pyarrow.dataset

    table = pyarrow.dataset.dataset(str(output), format="parquet").to_table()
    return sorted(table.to_pylist(), key=lambda row: (row["file"] or "", row["index"]))
