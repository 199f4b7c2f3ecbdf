"""The library's entry point: from images to poses in three lines."""

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
        """The predictor of a model by name (`ppose models`), which is downloaded and exported once.

        ``detector`` is the name or folder of the detector for images without boxes; it finds people with
        scores of ``det_threshold`` or more. None treats each image as one person. Other arguments, including
        ``options``, and errors are those of `from_dir`; also ConfigError for an unknown name, DownloadError
        without a network, ExportError if the export needs Paddle. A `PoseSpec` needs its `Runtime`.

        >>> predictor = ppose.Predictor("tinypose_256x192")  # doctest: +SKIP
        >>> poses = predictor("photo.jpg", [[48.0, 20.0, 210.0, 390.0]])  # doctest: +SKIP
        """
        if isinstance(model, PoseSpec):
            if isinstance(runtime, str) or options:
                raise ConfigError("a PoseSpec needs an open Runtime, and takes no options of one")
            spec, opened, batch = model, runtime, default_batch(1)
        elif isinstance(runtime, str):
            folder = find_folder(model, "auto" if runtime == "measure" else runtime)
            spec, opened, batch = open_folder(folder, runtime, **options)
        else:
            raise ConfigError("with a model's name or folder, give the runtime by name")
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
        """The predictor of a trained network without export; arguments as in `ppose.load_model`.

        TestReader's transforms prepare people; the config decides on the flip test. Paddle runs the network
        on its current device. Raises ConfigError and CheckpointError.

        >>> predictor = ppose.Predictor.from_config("configs/hrnet.yml", "a.pdparams")  # doctest: +SKIP
        >>> poses = predictor("photo.jpg", [[48.0, 20.0, 210.0, 390.0]])  # doctest: +SKIP
        """
        # Imported here: Paddle takes seconds to load, and an exported model may not need it.
        from ppose.engine.load import load_trained
        from ppose.engine.network_runtime import network_runtime
        from ppose.engine.task import Task
        from ppose.workspace import load_config

        task = Task(load_config(config, overrides))
        spec = task.pose_spec()
        runtime = network_runtime(task, load_trained(task, weights), spec)
        return cls(spec, runtime, batch_size=batch_size, use_dark=use_dark)
