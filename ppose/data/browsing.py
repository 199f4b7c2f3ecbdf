"""Draws what training sees: samples after all transforms, each beside its mirrored twin."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ppose.codecs import Codec
from ppose.data.dataset import Dataset
from ppose.data.reader import PreparedSamples, Reader, spread
from ppose.keypoints import KeypointSet
from ppose.transforms import TopDownAffine, Transform
from ppose.transforms.batch import make_batch
from ppose.visualize import draw_heatmaps, draw_poses, draw_titles, enlarge, write_text

_HEIGHT = 384  # approximate height of a sample in the picture
_LINE, _LEGEND = 15, 230  # pixels


class Mirror:
    """Inverts flip and rotation just before the warp, so that the input becomes its mirror image."""

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        sample["flip"] = not sample.get("flip", False)
        sample["rotation"] = -sample.get("rotation", 0.0)
        return sample


def draw_samples(
    dataset: Dataset, reader: Reader, keypoint_set: KeypointSet, codec: Codec, *, count: int, seed: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Draw up to ``count`` samples spread over the dataset, as the reader makes them in the first epoch.

    Yields a description of each sample and its picture (H, W, 3) uint8, RGB: the input with the target's
    keypoints, the input under the target heatmaps, and the same for its twin, whose random choices mirror the
    input; keypoint sets without mirror images have no twin. Keypoints are numbered; a legend gives their
    names and which ones swap. Raises ConfigError for a reader without NormalizeImage, DataError for an image
    that cannot be read.
    """
    reader.require_normalization()  # before any image is read
    steps = list(reader.sample_transforms)
    runs: list[Sequence[Transform]] = [steps]
    warp = next((n for n, step in enumerate(steps) if isinstance(step, TopDownAffine)), None)
    if keypoint_set.can_flip and warp is not None:
        runs.append([*steps[:warp], Mirror(), *steps[warp:]])
    prepared = [PreparedSamples(dataset, transforms, seed) for transforms in runs]
    for index in spread(len(prepared[0]), count):
        samples = []
        for one in prepared:
            sample = one[index]
            if isinstance(sample, Exception):
                raise sample
            samples.append(sample)
        panels = [panel for sample in samples for panel in _draw(sample, reader, keypoint_set, codec)]
        picture = np.hstack(panels)
        titles = ["mirrored" if sample.get("flip") else "not mirrored" for sample in samples]
        titles = [text for title in titles for text in (title, "its heatmaps")]
        picture = np.vstack([draw_titles(titles, picture.shape[1]), picture])
        yield _describe(samples[0]), np.hstack([picture, _draw_legend(keypoint_set, picture.shape[0])])


def _draw(
    sample: dict[str, Any], reader: Reader, keypoint_set: KeypointSet, codec: Codec
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the sample's input with its keypoints, and with its heatmaps."""
    batch = make_batch([sample], reader.batch_transforms)
    image = reader.require_normalization().undo(batch["image"].transpose(0, 2, 3, 1))[0]
    factor = max(1, round(_HEIGHT / image.shape[0]))
    learned = sample["target_weight"].reshape(-1) > 0
    points = sample["keypoints"] * factor + (factor - 1) / 2
    pose = np.column_stack([points, learned])
    drawn = draw_poses(enlarge(image, factor), pose[None], keypoint_set, threshold=0.5)
    for number in np.flatnonzero(learned):
        write_text(drawn, str(number), tuple((points[number] + [5, -4]).round().astype(int).tolist()), 0.4)
    heatmaps = draw_heatmaps(image, sample["heatmaps"] / codec.peak, codec.stride)
    return drawn, enlarge(heatmaps, factor)


def list_keypoints(keypoint_set: KeypointSet) -> list[str]:
    """A line per keypoint: its number, its name, and the keypoint it swaps with in a mirror image."""
    twins = keypoint_set.flip_indices.tolist()
    return [
        f"{number} {name}" + (f" <-> {twin}" if twin != number else "")
        for number, (name, twin) in enumerate(zip(keypoint_set.names, twins, strict=True))
    ]


def _draw_legend(keypoint_set: KeypointSet, height: int) -> np.ndarray:
    canvas = np.zeros((height, _LEGEND, 3), np.uint8)
    lines = list_keypoints(keypoint_set)
    if len(lines) > (most := height // _LINE - 1):
        lines = [*lines[: most - 1], "..."]
    for row, line in enumerate(lines, 1):
        write_text(canvas, line, (6, _LINE * row), 0.38)
    return canvas


def _describe(sample: dict[str, Any]) -> str:
    """Number and file of a sample, and its random choices."""
    parts = [f"sample {sample['index']}", Path(sample["image_file"]).name]
    if sample.get("rotation"):
        parts.append(f"rotated by {sample['rotation']:.0f} degrees")
    width, height = np.asarray(sample["scale"]).tolist()
    parts.append(f"{width:.0f} x {height:.0f} pixels of the image")
    if sample.get("flip"):
        parts.append("mirrored")
    return ", ".join(parts)
