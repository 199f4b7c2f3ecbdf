"""Writes an exported model for NVIDIA's Triton Inference Server.

The layout and keys follow its user guide, "Model Repository" and "Model Configuration".
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ppose.errors import ExportError
from ppose.files import replacing, write_bytes
from ppose.inference.model_folder import INFER_CFG, ONNX_FILES, ModelFolder

_LARGEST_BATCH = 16
_TYPES = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8"}
_CONFIG = """\
name: "{name}"
backend: "onnxruntime"
max_batch_size: {largest}
input [ {inputs} ]
output [ {output} ]
"""
_TENSOR = '{{ name: "{name}" data_type: {type} dims: {dims} }}'
# Under load, batches fill while the previous one runs; the delay matters only at low load.
_BATCHING = "dynamic_batching { max_queue_delay_microseconds: 2000 }\n"


def write_triton(folder: ModelFolder, repository: Path) -> Path:
    """Write the model's ONNX graph into a model repository, as version 1; returns the model's folder there.

    Copies `infer_cfg.yml` there too, which gives clients the `PoseSpec`. A graph for any number of images
    gets Triton's dynamic batching. Raises ExportError for a model not exported as ONNX, and OSError.
    """
    if not set(ONNX_FILES) <= set(folder.files):
        raise ExportError(f"{folder.path} has no {ONNX_FILES[0]}: a Triton repository needs --format onnx")
    spec, model = folder.spec, repository / folder.name
    # For a graph with a fixed batch, Triton does not batch, and its dims include the batch.
    batch = [] if spec.batch is None else [spec.batch]

    def describe(name: str, kind: str, shape: Sequence[int]) -> str:
        return _TENSOR.format(name=name, type=_TYPES[kind], dims=[*batch, *shape])

    inputs = [describe("image", spec.input_dtype, [3, *spec.input_size[::-1]])]
    inputs += [describe("inverse_warp", "float32", [2, 3])] if spec.decode_in_graph else []
    of_keypoint = [3] if spec.decode_in_graph else spec.codec.heatmap_size[::-1]
    text = _CONFIG.format(
        name=folder.name,
        largest=_LARGEST_BATCH if spec.batch is None else 0,
        inputs=", ".join(inputs),
        output=describe(spec.output_name, "float32", [spec.keypoint_set.num_keypoints, *of_keypoint]),
    )
    for source, target in ((ONNX_FILES[0], Path("1") / ONNX_FILES[0]), (INFER_CFG, Path(INFER_CFG))):
        with replacing(model / target) as temporary:
            shutil.copyfile(folder.path / source, temporary)
    write_bytes(model / "config.pbtxt", (text + (_BATCHING if spec.batch is None else "")).encode())
    return model
