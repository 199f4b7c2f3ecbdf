"""The library's door: from images to poses in three lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ppose.boxes import DET_THRESHOLD
from ppose.errors import ConfigError
from ppose.inference import predictor
from ppose.inference.pose_spec import PoseSpec
from ppose.inference.predictor import open_folder
from ppose.inference.runtimes import Runtime, RuntimeName
from ppose.inference.tuning.settings import default_batch
from ppose.zoo.detectors import open_named
from ppose.zoo.exports import find_folder


class Predictor(predictor.Predictor):
    """Finds the keypoints of the people in images, by a model's name, or `from_dir` or `from_config`.

    ``keypoint_set`` names the keypoints; see `ppose.inference.predictor.Predictor`, also about threads.
    """

    def __init__(
        self,
        model: str | Path | PoseSpec,
        runtime: RuntimeName | Literal["measure"] | Runtime = "auto",
        *,
        detector: str | Path | None = None,
        det_threshold: float = DET_THRESHOLD,
        batch_size: int | None = None,
        use_dark: bool | None = None,
        **options: Any,
    ) -> None:
        """The predictor of a model by its name (`ppose models`), which is fetched and exported once.

        ``detector`` is the name, or the folder, of what finds the people in images without boxes, with scores
        of ``det_threshold`` and more; None takes each image as one person. Other arguments, ``options`` among
        them, and errors are those of `from_dir`; ConfigError for an unknown name, DownloadError without a
        network, ExportError where Paddle is needed for the export. A `PoseSpec` goes with its `Runtime`.

        >>> predictor = ppose.Predictor("tinypose_256x192")  # doctest: +SKIP
        >>> poses = predictor("photo.jpg", [[48.0, 20.0, 210.0, 390.0]])  # doctest: +SKIP
        """
        if isinstance(model, PoseSpec):
            if isinstance(runtime, str) or options:
                raise ConfigError("a PoseSpec goes with a Runtime that is open, without options of one")
            spec, opened, batch = model, runtime, default_batch(1, model.input_size)
        elif isinstance(runtime, str):
            folder = find_folder(model, "auto" if runtime == "measure" else runtime)
            spec, opened, batch = open_folder(folder, runtime, **options)
        else:
            raise ConfigError("a model's name or folder goes with the name of a runtime")
        find_people = None
        if detector is not None:
            device = {name: options[name] for name in ("device", "cpu_threads") if name in options}
            find_people = open_named(detector, det_threshold, **device)
        batch_size = batch if batch_size is None else batch_size
        super().__init__(spec, opened, batch_size=batch_size, use_dark=use_dark, find_people=find_people)

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
