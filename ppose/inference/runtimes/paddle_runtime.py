"""Runs exports in Paddle Inference, on CPU and GPU."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import paddle
from paddle import inference

from ppose.errors import DataError, DeviceError
from ppose.inference.model_folder import ModelFolder
from ppose.inference.pose_spec import name_inputs
from ppose.inference.runtimes.faults import naming
from ppose.inference.runtimes.loops import refuse_loops
from ppose.inference.runtimes.tensorrt import convert_to_tensorrt
from ppose.paddle_internals import is_program, is_whole, program_inputs
from ppose.paths import show_name
from ppose.processor import check_threads

_GPU_POOL_MB, _GPU = 200, 0

# Paddle aborts if threads share a predictor, and uses global state to create predictors and to keep tensors.
# One run uses all its cores anyway.
_ONE_AT_A_TIME = threading.Lock()
# Threads that it starts beyond its own: one that stays, four while it opens a graph, and a few spare.
_MORE_THREADS = 8
# It looks for convolutions before sums: 20 s for PP-TinyPose in a `.pdmodel`, which then runs no faster.
_SLOW_FUSION = "conv_elementwise_add_onednn_fuse_pass"
_LOADS = "and its weights do not load in Paddle Inference"


class PaddleGraph:
    """A graph of Paddle Inference with named inputs; threads may share it, and wait for each other.

    ``inputs`` are shapes by name, None for a side of any length; () if only a run would tell. ``file`` is
    for messages. Raises DataError if the graph cannot be loaded or run.
    """

    name = "paddle"
    metadata: Mapping[str, str] = {}

    def __init__(self, config: inference.Config, file: Path) -> None:
        self._keeps_tensors = config.mkldnn_enabled() and not config.use_gpu()
        self._file = file
        with naming(file, _LOADS):
            refuse_loops(file)
            with _ONE_AT_A_TIME:
                check_threads(config.cpu_math_library_num_threads() + _MORE_THREADS, "Paddle Inference")
                self._predictor = inference.create_predictor(config)
            names = self._predictor.get_input_names()
            self._inputs = {name: self._predictor.get_input_handle(name) for name in names}
            known = program_inputs(file.read_bytes()) if file.suffix == ".pdmodel" else {}
            self.inputs = {
                name: _to_shape(known.get(name) or handle.shape()) for name, handle in self._inputs.items()
            }

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs, in the graph's order."""
        keeping = _keeping_tensors() if self._keeps_tensors else nullcontext()
        with _ONE_AT_A_TIME, keeping, naming(self._file, "does not run in Paddle Inference"):
            for name, value in inputs.items():
                self._inputs[name].copy_from_cpu(np.ascontiguousarray(value))
            self._predictor.run()
            names = self._predictor.get_output_names()
            return [self._predictor.get_output_handle(name).copy_to_cpu() for name in names]


@contextmanager
def _keeping_tensors() -> Iterator[None]:
    """Keep tensors' memory between runs: allocating it again took a fifth of Lite-HRNet's time.

    It costs 0.7 GB for one person and 3 GB for batches of 16. The flag is set during the run only, so that
    training in the same process does not pay for it.
    """
    before = paddle.get_flags("FLAGS_eager_delete_tensor_gb")
    paddle.set_flags({"FLAGS_eager_delete_tensor_gb": -1.0})
    try:
        yield
    finally:
        paddle.set_flags(before)


def open_foreign_graph(
    graph: Path, weights: Path, *, device: str, threads: int, hint: str = "latency"
) -> PaddleGraph:
    """Open a graph of unknown origin; DataError with Paddle's own words if it cannot be loaded."""
    check_device(device)
    where = show_name(graph)
    if graph.suffix != ".json" and not is_program(graph.read_bytes()):
        raise DataError(f"{where} is no graph of Paddle ({graph.stat().st_size} bytes), or damaged")
    with weights.open("rb") as file:
        if not is_whole(file):
            raise DataError(
                f"{show_name(weights)} holds no Paddle weights, or only a part of them: copy it again"
            )
    config = make_config(
        graph, weights, device=device, precision="fp32", threads=threads, use_onednn=device == "cpu"
    )
    return PaddleGraph(config, graph)


def _to_shape(shape: Sequence[int]) -> tuple[int | None, ...]:
    """A shape as Paddle states it before the first run; one side alone means unknown."""
    return tuple(side if side > 0 else None for side in shape) if len(shape) > 1 else ()


class PaddleRuntime:
    """An exported pose network in Paddle Inference; `Runtime`."""

    name = "paddle"
    callers = 1
    output_shape: tuple[int | None, ...] = ()  # only a run tells

    def __init__(self, graph: PaddleGraph, batch: int | None) -> None:
        self._graph, self.batch = graph, batch

    def __call__(self, image: np.ndarray, *inverse_warp: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        return self._graph.run(name_inputs(image, *inverse_warp))[0]


def open_graph(
    folder: ModelFolder,
    *,
    device: str,
    precision: str,
    threads: int,
    streams: int = 1,
    enable_mkldnn: bool = True,
    tensorrt_batch: int | None = None,
    tensorrt_cache: str | Path | None = None,
) -> PaddleRuntime:
    """Paddle's graph in Paddle Inference; DeviceError without the GPU or TensorRT that is asked for.

    One batch runs at a time, by all threads, however many ``streams``.
    """
    check_device(device)
    graph, weights = folder.paddle_files
    if tensorrt_batch is not None:
        graph = convert_to_tensorrt(folder, precision, tensorrt_batch, tensorrt_cache)
        weights = graph.with_suffix(weights.suffix)
    config = make_config(
        graph, weights, device=device, precision=precision, threads=threads, use_onednn=enable_mkldnn
    )
    if folder.published is None and graph.suffix == ".pdmodel":
        config.delete_pass(_SLOW_FUSION)
    opened = PaddleGraph(config, graph)
    # Whether Paddle states shapes on GPUs, and for TensorRT's graphs, is untested.
    shape = opened.inputs.get("image", ()) if device == "cpu" else (folder.spec.batch,)
    return PaddleRuntime(opened, shape[0] if shape else None)


def check_device(device: str) -> None:
    """Raise DeviceError for a GPU if this build of Paddle, or this machine, has none."""
    if device == "gpu" and (reason := why_no_gpu()):
        raise DeviceError(f"device is gpu, but {reason}")


def why_no_gpu() -> str | None:
    """Why Paddle cannot use a GPU; None if it can."""
    if not paddle.is_compiled_with_cuda():
        return "this is the CPU build of Paddle (install requirements-gpu.txt)"
    if paddle.device.cuda.device_count() == 0:
        return "no GPU is visible (see nvidia-smi and CUDA_VISIBLE_DEVICES)"
    return None


def make_config(
    graph: Path, weights: Path, *, device: str, precision: str, threads: int, use_onednn: bool
) -> inference.Config:
    """Paddle Inference's settings; graphs are `.json`, or `.pdmodel` of Paddle 2."""
    config = inference.Config(str(graph), str(weights))
    if graph.suffix == ".json":  # else memory_optimize_pass fails
        config.enable_new_executor()
        config.enable_new_ir(True)
    config.disable_glog_info()
    config.enable_memory_optim()
    if device == "gpu":
        kind = inference.PrecisionType.Half if precision == "fp16" else inference.PrecisionType.Float32
        config.enable_use_gpu(_GPU_POOL_MB, _GPU, kind)
        return config
    config.disable_gpu()
    config.set_cpu_math_library_num_threads(threads)
    if use_onednn:
        config.enable_mkldnn()
    else:
        config.disable_mkldnn()
    return config
