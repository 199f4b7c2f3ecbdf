"""Draws a network's predictions for a few training samples while it learns."""

from pathlib import Path

import numpy as np
import paddle

from ppose.engine.hooks.run import is_due
from ppose.engine.task import Task
from ppose.engine.trainer import Hook, Trainer
from ppose.files import write_bytes
from ppose.visualize import draw_heatmaps, draw_poses, draw_titles, encode_picture, enlarge

_SAMPLES, _KEPT = 4, 20
_HEIGHT = 256  # approximate height of a crop in the picture
_TITLES = ("target", "predicted", "target", "predicted")


class DrawSamples(Hook):
    """Draws a few training samples as `epoch_<epoch>.png`, every ``every`` epochs and after the last.

    A row is a sample, as four crops: with the target's keypoints, with the predicted ones (of labelled
    keypoints), with the target's heatmaps, and with the predicted ones. The crops are the same in all
    pictures; the newest 20 pictures stay. Raises ConfigError for a TrainReader without NormalizeImage.
    """

    def __init__(self, folder: Path, task: Task, *, every: int) -> None:
        self._folder, self._every = folder, every
        self._codec, self._keypoint_set = task.codec, task.keypoint_set
        self._normalize = task.reader("TrainReader").require_normalization()

    def before_train(self, trainer: Trainer) -> None:
        """Choose the samples; delete an earlier run's pictures of epochs to come."""
        self._batch = trainer.loader.examples(_SAMPLES)
        for epoch, file in list_pictures(self._folder):
            if epoch > trainer.progress.epoch:
                file.unlink()

    @paddle.no_grad()
    def after_epoch(self, trainer: Trainer) -> None:
        """Draw if it is time."""
        if not is_due(trainer, self._every):
            return
        trainer.network.eval()
        with trainer.averaged():
            heatmaps = trainer.network(self._batch["image"]).numpy()
        picture = self._draw(heatmaps)
        write_bytes(picture_file(self._folder, trainer.progress.epoch), encode_picture(picture, ".png"))
        for _, file in list_pictures(self._folder)[:-_KEPT]:
            file.unlink()

    def _draw(self, predicted: np.ndarray) -> np.ndarray:
        """The picture (H, W, 3), RGB, for predicted heatmaps (N, K, H, W)."""
        target, weight = self._batch["heatmaps"].numpy(), self._batch["target_weight"].numpy()
        images = self._normalize.undo(self._batch["image"].numpy().transpose(0, 2, 3, 1))
        poses = [np.dstack([self._codec.decode(maps)[0], weight[..., 0]]) for maps in (target, predicted)]
        factor = max(1, round(_HEIGHT / images.shape[1]))
        rows = [
            np.hstack(
                [self._draw_pose(image, pose[row], factor) for pose in poses]
                + [
                    enlarge(draw_heatmaps(image, m[row] / self._codec.peak, self._codec.stride), factor)
                    for m in (target, predicted)
                ]
            )
            for row, image in enumerate(images)
        ]
        return np.vstack([draw_titles(_TITLES, rows[0].shape[1]), *rows])

    def _draw_pose(self, image: np.ndarray, pose: np.ndarray, factor: int) -> np.ndarray:
        enlarged = pose * [factor, factor, 1] + [(factor - 1) / 2, (factor - 1) / 2, 0]
        return draw_poses(enlarge(image, factor), enlarged[None], self._keypoint_set, threshold=0.5)


def picture_file(folder: Path, epoch: int) -> Path:
    """The file of an epoch's picture."""
    return folder / f"epoch_{epoch:03d}.png"


def list_pictures(folder: Path) -> list[tuple[int, Path]]:
    """(epoch, file) of the pictures in a folder, by epoch."""
    epochs = [file.stem.removeprefix("epoch_") for file in folder.glob("epoch_*.png")]
    numbers = sorted(int(epoch) for epoch in epochs if epoch.isdecimal())
    return [(number, picture_file(folder, number)) for number in numbers]
