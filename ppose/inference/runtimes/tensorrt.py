"""TensorRT inside Paddle: converts graphs in Paddle 3's format once, and keeps the engine.

`Config.enable_tensorrt_engine`, with its file of collected shapes, supports Paddle 2's `.pdmodel` only;
`paddle.tensorrt.convert` collects the shapes itself, from random batches, and writes a graph that contains
the engine (Paddle Inference's guide to GPU TensorRT, version 3.0).
"""

import hashlib
import json
import logging
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import paddle

from ppose.errors import ConfigError, DeviceError
from ppose.files import temporary_folder
from ppose.inference.model_folder import PADDLE_FILES, ModelFolder

_logger = logging.getLogger(__name__)


def convert_to_tensorrt(folder: ModelFolder, precision: str, batch: int, cache: str | Path | None) -> Path:
    """The graph (`.json`, weights beside it) of a model with its TensorRT engine, from the cache or built.

    Batches are 1 to ``batch``, or the exported graph's fixed one. An engine is for one model, precision,
    batch range, GPU and TensorRT version. Raises DeviceError if TensorRT is missing.
    """
    if find_spec("tensorrt") is None or find_spec("paddle.tensorrt") is None:
        raise DeviceError(
            "TensorRT is not installed: pip install tensorrt beside requirements-gpu.txt, or choose "
            "run_mode paddle"
        )
    if batch < 1:
        raise ConfigError(f"the largest batch for TensorRT is {batch}, expected 1 or more")
    least, most = (folder.spec.batch,) * 2 if folder.spec.batch else (1, batch)
    key = [folder.files, precision, least, most, paddle.__version__, version("tensorrt"), _gpu_name()]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    engine = Path(cache or folder.path / "tensorrt") / f"{precision}_{digest}"
    if not engine.is_dir():
        _logger.info("building a TensorRT engine (minutes, once): %s", engine)
        _build(folder, precision, (least, most), engine)
    return engine / PADDLE_FILES[0]


def _build(folder: ModelFolder, precision: str, batches: tuple[int, int], engine: Path) -> None:
    from paddle.tensorrt.export import Input, PrecisionMode, TensorRTConfig, convert

    width, height = folder.spec.input_size
    least, most = ([batch, 3, height, width] for batch in batches)
    image = Input(
        min_input_shape=least,
        optim_input_shape=most,
        max_input_shape=most,
        input_data_type=folder.spec.input_dtype,
        input_range=(0, 255) if folder.spec.input_dtype == "uint8" else (-2.0, 2.0),
        name="image",
    )
    engine.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(engine.parent, ".tensorrt-") as temporary:
        made = temporary / "engine"
        made.mkdir()
        settings = TensorRTConfig(inputs=[image])
        settings.precision_mode = PrecisionMode[precision.upper()]
        settings.save_model_dir = str(made / Path(PADDLE_FILES[0]).stem)  # a prefix, despite its name
        convert(str(folder.paddle_files[0]), settings)
        try:
            made.rename(engine)
        except OSError:  # another process was faster
            if not engine.is_dir():
                raise
            shutil.rmtree(made)


def _gpu_name() -> str:
    return paddle.device.cuda.get_device_name(0)
