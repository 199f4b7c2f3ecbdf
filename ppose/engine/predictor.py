"""The library's door: from images to poses in two lines, with an exported or a trained network."""

from collections.abc import Sequence
from pathlib import Path

from ppose.inference import predictor


class Predictor(predictor.Predictor):
    """Finds the keypoints of the people in images; made by `from_dir` or `from_config`.

    ``keypoint_set`` names the keypoints; see `ppose.inference.predictor.Predictor`, also about threads.
    """

    @classmethod
    def from_config(
        cls,
        config: str | Path,
        weights: str | Path | None = None,
        overrides: Sequence[str] = (),
        *,
        batch_size: int = 16,
        use_dark: bool | None = None,
    ) -> "Predictor":
        """The predictor of a trained network, not exported; arguments as of `ppose.load_model`.

        TestReader's transforms prepare people; the config says whether there is a flip test. Paddle runs
        the network on its current device. Raises ConfigError and CheckpointError.

        >>> predictor = ppose.Predictor.from_config("configs/hrnet.yml", "a.pdparams")  # doctest: +SKIP
        >>> poses = predictor("photo.jpg", [[48.0, 20.0, 210.0, 390.0]])  # doctest: +SKIP
        """
        # Not above: Paddle takes seconds to load, and an exported model may need none.
        from ppose.engine.load import load_trained
        from ppose.engine.network_runtime import network_runtime
        from ppose.engine.task import Task
        from ppose.workspace import load_config

        task = Task(load_config(config, overrides))
        spec = task.pose_spec()
        runtime = network_runtime(task, load_trained(task, weights), spec)
        return cls(spec, runtime, batch_size=batch_size, use_dark=use_dark)
