"""Runs `ppose batch` with its parsed arguments."""

import os
from typing import Any

from ppose.batch.chunks import find_chunks
from ppose.batch.engines import Engine
from ppose.batch.job import Report, claim_output, describe_job, run_job
from ppose.batch.place import Place, open_input, open_place
from ppose.batch.worker import Settings, Task
from ppose.errors import DataError
from ppose.files import file_digest


def run_batch(settings: Settings, engine: Engine) -> None:
    """Write the missing parts of a job's output, and print a summary. Raises DataError, see `run_job`."""
    source, output = open_input(settings.input), open_place(settings.output)
    if not source.pattern and _lies_in(output, source):
        raise DataError(f"{output} lies in the input: choose another --output_dir")
    columns = [settings.image_column, *([settings.boxes_column] if settings.boxes_column else [])]
    found = find_chunks(
        source,
        settings.images_per_part,
        box_file=settings.box_file,
        classes=settings.classes,
        threshold=settings.threshold,
        columns=columns,
    )
    if settings.boxes_column and found.kind == "images":
        raise DataError(f"--boxes_column is for tables and shards, {source} holds images: give --boxes")
    models = settings.digest_models()
    job = claim_output(output, describe_job(found, _deciding(settings), models), settings.input)
    task = Task(settings, found.kind, models, job)
    _print_summary(run_job(task, found.chunks, output, engine), len(found.chunks), str(output))


def _lies_in(output: Place, source: Place) -> bool:
    inner, outer = output.url, source.url
    if output.is_local and source.is_local:  # links may lead there
        inner, outer = os.path.realpath(output.path), os.path.realpath(source.path)
    return f"{inner}/".startswith(f"{outer.rstrip('/')}/")


def _deciding(settings: Settings) -> dict[str, Any]:
    """The options that change the content of rows, or the part that holds them."""
    return {
        "images_per_part": settings.images_per_part,
        "image_column": settings.image_column,
        "boxes_column": settings.boxes_column,
        "boxes_sha256": settings.box_file and file_digest(settings.box_file),
        "det_threshold": settings.threshold,
        "det_class": settings.classes,
        "detector": settings.detector and "det_model_dir",
        "runtime": settings.predictor["runtime"],
        "precision": settings.predictor["precision"],
        "device": settings.predictor["device"],
    }


def _print_summary(report: Report, parts: int, where: str) -> None:
    counts, made = report.counts, report.made
    bad = f" ({counts.bad:,} could not be read, see the column `error`)" if counts.bad else ""
    print(f"{counts.images:,} images in {parts:,} parts{bad}, {counts.people:,} people: {where}")
    if made.images:
        stages = ", ".join(f"{name} {1000 * s / made.images:.2f}" for name, s in report.seconds.items())
        rate = made.images / report.wall
        print(f"this run: {made.images:,} images in {report.wall:.1f} s, {rate:.1f} per second")
        print(f"ms per image in a worker: {stages}")
    if report.error is not None:
        print(f"first of the images that could not be read: {report.error}")
