"""MOTA and IDF1 of tracks, by motmetrics."""

from collections.abc import Sequence

import motmetrics
import numpy as np

from ppose.metrics.hota import TrackedFrame, compute_hota

_NAMES = {
    "MOTA": "mota", "IDF1": "idf1", "switches": "num_switches", "fragmentations": "num_fragmentations",
    "missed": "num_misses", "false": "num_false_positives", "people": "num_objects",
}  # fmt: skip
_LEAST_SIMILARITY = 0.5  # of a person and a track that may match


def score_tracks(frames: Sequence[TrackedFrame]) -> dict[str, float]:
    """MOTA, IDF1, their counts, and HOTA of frames; pairs match at a similarity of 0.5 or more.

    MOTA is 1 - (missed + false + switches) / people (Bernardin and Stiefelhagen, JIVP 2008); a person stays
    matched with its track as long as possible. IDF1 is F1 of the best single assignment of tracks to people
    over all frames (Ristani et al., ECCVW 2016).
    """
    events = motmetrics.MOTAccumulator(auto_id=True)
    for frame in frames:
        distances = np.where(frame.similarity >= _LEAST_SIMILARITY, 1 - frame.similarity, np.nan)
        events.update(frame.truth, frame.found, distances)
    computed = motmetrics.metrics.create().compute(
        events, metrics=list(_NAMES.values()), return_dataframe=False
    )
    return {ours: float(computed[theirs]) for ours, theirs in _NAMES.items()} | compute_hota(frames)
