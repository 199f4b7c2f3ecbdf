"""Makes the page of an error analysis from its numbers and pictures of the worst people."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ppose.annotations import Annotations
from ppose.errors import DataError
from ppose.keypoints import KeypointSet
from ppose.metrics.coco_evaluation import image_rows
from ppose.reports.analysis import PCK_THRESHOLDS, Analysis, Calibration, Comparison, calibrate
from ppose.reports.error_kinds import GOOD, KINDS
from ppose.reports.page import Block, Page, Picture, Table, Text, show_figure, show_number, show_picture
from ppose.reports.plots import plot_calibration, plot_costs, plot_keypoints, plot_kinds
from ppose.visualize import crop_person, draw_poses, encode_picture

WORST = 40
_TILE = (200, 240)  # width, height of one picture of a person; annotated and found are side by side
_QUALITY = 85

ReadImage = Callable[[int], np.ndarray]


def make_page(
    title: str,
    names: Sequence[str],
    analyses: Sequence[Analysis],
    comparison: Comparison | None,
    annotations: Annotations,
    read_image: ReadImage,
) -> Page:
    """The page of one results file, or of two in comparison; ``names`` are their names.

    ``read_image`` returns the image of a row of annotations.images, or raises DataError.
    """
    page = Page(title)
    page.sections["AP and AR"] = [_ap_table(names, analyses), *_comparison(names, comparison)]
    for name, analysis in zip(names, analyses, strict=True):
        ending = f": {name}" if len(names) > 1 else ""
        keypoint_set = analysis.evaluation.keypoint_set
        page.sections[f"Kinds of errors{ending}"] = _kinds(analysis, keypoint_set)
        page.sections[f"Keypoints{ending}"] = _keypoints(analysis, keypoint_set)
        page.sections[f"Groups of people{ending}"] = _groups(analysis)
        page.sections[f"Scores{ending}"] = _scores(calibrate(analysis.evaluation))
        pictures = _worst(analysis, annotations, read_image)
        page.sections[f"The worst{ending}"] = pictures
    return page


def _ap_table(names: Sequence[str], analyses: Sequence[Analysis]) -> Table:
    header = ["", *analyses[0].table]
    return Table(
        header,
        [[name, *map(show_number, a.table.values())] for name, a in zip(names, analyses, strict=True)],
    )


def _comparison(names: Sequence[str], found: Comparison | None) -> list[Block]:
    if found is None:
        return []
    (low, high), ((a, b), (c, d)) = found.interval, found.intervals
    surely = "the interval excludes 0" if low > 0 or high < 0 else "the interval contains 0: may be chance"
    return [
        Text(
            f"{names[1]} minus {names[0]}: {100 * found.difference:+.2f} AP, 95 % interval {100 * low:+.2f} "
            f"to {100 * high:+.2f} ({surely}); better in {found.share:.0%} of the resamples of the images. "
            f"95 % intervals of each AP: {100 * a:.1f} to {100 * b:.1f}, and {100 * c:.1f} to {100 * d:.1f}."
        )
    ]


def _kinds(analysis: Analysis, keypoint_set: KeypointSet) -> list[Block]:
    counts = analysis.kind_counts()
    total = np.maximum(counts.sum(), 1)
    rows = [
        [
            kind,
            f"{n:,}",
            f"{n / total:.1%}",
            "" if kind == KINDS[GOOD] else f"{100 * analysis.costs[kind]:.2f}",
        ]
        for kind, n in zip(KINDS, counts.sum(axis=0).tolist(), strict=True)
    ]
    rows += [[kind, "", "", f"{100 * v:.2f}"] for kind, v in analysis.costs.items() if kind not in KINDS]
    return [
        Text(
            "After Ruggero Ronchi and Perona (ICCV 2017), for keypoints of people found with an OKS of 0.1 "
            "or more: jitter has a similarity of 0.5 to 0.85 with the true keypoint; inversion is at the "
            "twin of the same person (left for right), swap at another person's keypoint, miss at none. The "
            "cost of a kind is the AP gained if it alone were corrected; costs do not add up."
        ),
        Table(["kind", "keypoints", "share", "AP points it costs"], rows),
        show_figure(plot_costs(analysis.costs)),
        show_figure(plot_kinds(counts, keypoint_set.names)),
    ]


def _keypoints(analysis: Analysis, keypoint_set: KeypointSet) -> list[Block]:
    shares, counts = analysis.pck(), analysis.kind_counts()
    similar, similar_shares = analysis.similarity()
    at = [int(np.argmin(np.abs(PCK_THRESHOLDS - limit))) for limit in (0.05, 0.1, 0.2)]
    rows = [
        [name, f"{counts[k].sum():,}", show_number(similar[k]), *(show_number(shares[row, k]) for row in at)]
        for k, name in enumerate(keypoint_set.names)
    ]
    header = ["keypoint", "labelled", "mean similarity", "PCK@0.05", "PCK@0.1", "PCK@0.2"]
    return [
        Text(
            "For people found with an OKS of 0.1 or more. The similarity is the keypoint's term of OKS, PCK "
            "the share within this fraction of the longer side of the person's box."
        ),
        Table(header, rows),
        show_figure(plot_keypoints(shares, similar_shares, keypoint_set.names)),
    ]


def _groups(analysis: Analysis) -> list[Block]:
    return [
        Table(
            [f"by {what}", "people", "AP", "AR"],
            [[name, f"{n:,}", show_number(ap), show_number(ar)] for name, (ap, ar, n) in groups.items()],
        )
        for what, groups in analysis.groups.items()
    ]


def _scores(found: Calibration | None) -> list[Block]:
    if found is None:
        return [Text("Nobody was found, or nobody is annotated.")]
    return [
        Text(
            f"Best F1 at OKS 0.5: {found.f1:.4f}, for people with a score of {found.threshold:.4f} or more. "
            f"Expected calibration error: {found.error:.4f}."
        ),
        show_figure(plot_calibration(found)),
    ]


def _worst(analysis: Analysis, annotations: Annotations, read_image: ReadImage) -> list[Block]:
    """Pictures of the found people with the lowest OKS."""
    rows = np.flatnonzero(analysis.partners >= 0)
    rows = rows[np.argsort(analysis.oks[rows], kind="stable")][:WORST]
    pictures: list[Block] = []
    problem, images = "", image_rows(annotations)[analysis.evaluation.found.images[rows]]
    for row, image in zip(rows.tolist(), images.tolist(), strict=True):
        try:
            pictures.append(_draw(analysis, row, image, annotations.images.file_names[image], read_image))
        except DataError as error:
            problem = str(error)
    if problem:
        pictures.append(Text(f"{len(rows) - len(pictures)} pictures could not be made: {problem}"))
    return [Text("Left: annotated, right: found; sorted by OKS, lowest first."), *pictures]


def _draw(analysis: Analysis, row: int, image: int, name: str, read_image: ReadImage) -> Picture:
    evaluation, true = analysis.evaluation, int(analysis.partners[row])
    truth, found, keypoint_set = evaluation.truth, evaluation.found, evaluation.keypoint_set
    labelled = np.column_stack([truth.keypoints[true], truth.labelled[true]])
    points = np.column_stack([found.keypoints[row], np.ones(len(labelled))])
    crop, place = crop_person(read_image(image), truth.bboxes_xywh[true], _TILE)
    sides = [draw_poses(crop, place(pose)[None], keypoint_set) for pose in (labelled, points)]
    kinds = analysis.kinds[row]
    wrong = [f"{n} {KINDS[k]}" for k, n in enumerate(np.bincount(kinds[kinds > GOOD], minlength=5)) if n]
    caption = (
        f"{name}, person {truth.ids[true]}: OKS {analysis.oks[row]:.2f}, score {found.scores[row]:.2f}; "
        f"{', '.join(wrong) or 'no errors'}"
    )
    tile = cv2.copyMakeBorder(np.hstack(sides), 0, 0, 0, 1, cv2.BORDER_CONSTANT, value=(200, 200, 200))
    return show_picture(encode_picture(tile, ".jpg", _QUALITY), "jpeg", caption)
