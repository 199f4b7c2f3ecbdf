"""A job: claims its output folder, finds the missing parts, and makes them."""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from ppose.batch.chunks import Chunk, Input
from ppose.batch.digests import digest
from ppose.batch.engines import Engine
from ppose.batch.parts import SCHEMA_VERSION, Counts, count_parts, find_parts, name_part
from ppose.batch.place import Place, reaching
from ppose.batch.worker import Outcome, Task
from ppose.errors import DataError
from ppose.paths import hide_secrets, show_name

_logger = logging.getLogger(__name__)

MANIFEST = "_job.json"

_FORMAT = 1
_TRIES = 3  # rounds without any new part, before the job gives up
_WAIT = 5.0  # seconds before such a round
_UNSEEN = "a worker wrote it, but it is not here: choose an --output_dir that all machines share"
_MOST_CHUNKS = 10_000  # per round, so that no engine gets a list of millions


@dataclass
class Report:
    """Counts of the parts ``made`` so far in this run, and at the end ``counts`` of all parts in the folder.

    ``seconds`` are the workers' times by stage, ``wall`` is the elapsed time. ``error`` is that of an
    unreadable image; ``reasons`` tell by number why parts are missing.
    """

    counts: Counts = field(default_factory=Counts)
    made: Counts = field(default_factory=Counts)
    seconds: Counter[str] = field(default_factory=Counter)
    wall: float = 0.0
    error: str | None = None
    reasons: dict[int, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> bool:
        """Add a chunk's outcome; return whether its part was made. DataError for a final failure."""
        name = name_part(outcome.number)
        if outcome.is_final:
            raise DataError(f"{name}: {outcome.failure}")
        if outcome.failure is not None:
            self.reasons[outcome.number] = outcome.failure
            _logger.warning("%s: %s", name, outcome.failure)
            return False
        self.reasons[outcome.number] = _UNSEEN
        self.made += outcome.counts
        self.seconds.update(outcome.seconds)
        self.error = self.error or outcome.error
        return True


def describe_job(found: Input, options: dict[str, Any], models: str) -> dict[str, Any]:
    """Return all that determines the rows of a job, for its manifest."""
    return {
        "format": _FORMAT,
        "schema": SCHEMA_VERSION,
        "kind": found.kind,
        "files": found.files,
        "parts": len(found.chunks),
        "input_sha256": found.digest,
        "models_sha256": models,
        "options": options,
    }


def claim_output(place: Place, about: dict[str, Any], source: str) -> str:
    """Write the job's manifest into a folder, or check the one there; return the job's digest.

    The manifest also names ``source``. Raises DataError if the folder belongs to another job, holds other
    parts, or cannot be written.
    """
    text = json.dumps({**about, "input": show_name(hide_secrets(source))}, indent=2).encode()
    if not place.exists(MANIFEST):
        if find_parts(place):
            raise DataError(
                f"{place} holds parts, but no {MANIFEST} that names their job: choose another --output_dir"
            )
        with reaching(place):
            place.write_first(MANIFEST, text)
    with reaching(place):
        there = place.read(MANIFEST)
    try:
        known = dict(json.loads(there))
    except (ValueError, TypeError):
        raise DataError(f"{MANIFEST} of {place} cannot be read: choose another --output_dir") from None
    others = [key for key in about if known.get(key) != about[key]]
    if others:
        changed = ", ".join(f"{key} {_show_difference(known.get(key), about[key])}" for key in others)
        raise DataError(f"{place} is the output of another job: choose another --output_dir ({changed})")
    return digest(about)


def _show_difference(there: Any, here: Any) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
        return " ".join(f"{key} {_show_difference(there.get(key), here.get(key))}" for key in keys)
    if isinstance(here, str) and len(here) == 64:  # a digest, which tells a user nothing
        return "differs"
    return f"is {there!r} there, {here!r} here"


def run_job(task: Task, chunks: Sequence[Chunk], output: Place, engine: Engine) -> Report:
    """Make the missing parts, and count the rows of all. Shows a progress bar.

    Raises DataError if the workers fail for good, if parts are missing after three tries, or if no image
    could be read.
    """
    start, report = time.perf_counter(), Report()
    missing = _find_missing(chunks, output)
    there = len(chunks) - len(missing)
    if there:
        _logger.info("%d of %d parts exist already", there, len(chunks))
    with tqdm(total=len(chunks), initial=there, unit="part", disable=None) as bar:
        for outcome in _run_rounds(task, missing, output, engine):
            if report.add(outcome):
                made = report.made
                bar.set_postfix(images=made.images, bad=made.bad, people=made.people, refresh=False)
                bar.update()
    missing = _find_missing(chunks, output)
    if missing:
        first = missing[0].number
        raise DataError(
            f"{len(missing)} of {len(chunks)} parts are missing "
            f"({name_part(first)}: {report.reasons.get(first, 'its worker died each time')}); "
            "run the command again to make them"
        )
    report.counts = count_parts(output, [chunk.number for chunk in chunks], task.job)
    if report.counts.images == report.counts.bad:
        reason = report.error or "see the column `error`"
        raise DataError(f"none of {report.counts.images} images could be read: {reason}")
    report.wall = time.perf_counter() - start
    return report


def _find_missing(chunks: Sequence[Chunk], output: Place) -> list[Chunk]:
    there = find_parts(output)
    return [chunk for chunk in chunks if chunk.number not in there]


def _run_rounds(task: Task, missing: Sequence[Chunk], output: Place, engine: Engine) -> Iterator[Outcome]:
    """Yield outcomes of all chunks; retry missing ones, and give up after three rounds without a new part."""
    tries = _TRIES
    while missing and tries:
        now, later = missing[:_MOST_CHUNKS], missing[_MOST_CHUNKS:]
        yield from engine(task, now)
        left = _find_missing(now, output)
        if left:
            tries = _TRIES if len(left) < len(now) else tries - 1
            if tries:
                _logger.warning("%d parts are missing; trying again", len(left))
            if 0 < tries < _TRIES:
                time.sleep(_WAIT)
        missing = [*later, *left]
