"""MOTA and IDF1: what motmetrics says of tracks."""

from collections.abc import Sequence

import motmetrics
import numpy as np

from ppose.metrics.hota import TrackedFrame, compute_hota

_NAMES = {
    "MOTA": "mota", "IDF1": "idf1", "switches": "num_switches", "fragmentations": "num_fragmentations",
    "missed": "num_misses", "false": "num_false_positives", "people": "num_objects",
}  # fmt: skip


def score_tracks(frames: Sequence[TrackedFrame], threshold: float = 0.5) -> dict[str, float]:
    """MOTA, IDF1, the counts they are made of, and HOTA of frames; a pair from ``threshold`` on may match.

    MOTA is 1 - (missed + false + switches) / people (Bernardin and Stiefelhagen, JIVP 2008): who was matched
    with a track stays so while that is possible. IDF1 is F1 of the one assignment of tracks to people over
    all frames that is best (Ristani et al., ECCVW 2016).
    """
    events = motmetrics.MOTAccumulator(auto_id=True)
    for frame in frames:
        distances = np.where(frame.similarity >= threshold, 1 - frame.similarity, np.nan)
        events.update(frame.truth, frame.found, distances)
    computed = motmetrics.metrics.create().compute(
        events, metrics=list(_NAMES.values()), return_dataframe=False
    )
    return {ours: float(computed[theirs]) for ours, theirs in _NAMES.items()} | compute_hota(frames)
