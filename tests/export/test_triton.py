"""A Triton model repository, its configuration checked against Triton's own schema."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from ppose.cli import run_command
from ppose.errors import ExportError
from ppose.export.triton import write_triton
from ppose.inference.model_folder import INFER_CFG, read_infer_cfg, read_model_folder


@pytest.fixture(scope="module")
def parse_config():
    """Reads a `config.pbtxt` by the message `inference.ModelConfig` that tritonclient brings."""
    package = importlib.util.find_spec("tritonclient")
    if package is None:
        pytest.skip("tritonclient is not installed")
    text_format = pytest.importorskip("google.protobuf.text_format")
    file = Path(package.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"  # without gRPC itself
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda text: text_format.Parse(text, module.ModelConfig())


def test_a_repository_is_as_tritons_schema_has_it(model_dir, tmp_path, parse_config):
    folder = read_model_folder(model_dir)
    model = write_triton(folder, tmp_path / "models")
    assert model == tmp_path / "models" / "two_colours"
    files = {str(path.relative_to(model)) for path in model.rglob("*") if path.is_file()}
    assert files == {"config.pbtxt", "1/model.onnx", INFER_CFG}
    assert (model / "1/model.onnx").read_bytes() == (model_dir / "model.onnx").read_bytes()
    assert read_infer_cfg(model).spec == folder.spec
    config = parse_config((model / "config.pbtxt").read_text())
    assert (config.name, config.backend, config.max_batch_size) == ("two_colours", "onnxruntime", 16)
    assert config.dynamic_batching.max_queue_delay_microseconds == 2000
    _check_shapes(config, model, batched=True)


def test_a_fixed_batch_is_in_the_dimensions(model_dir, tmp_path, parse_config):
    folder = read_model_folder(model_dir)
    folder = dataclasses.replace(folder, spec=dataclasses.replace(folder.spec, batch=4, input_dtype="uint8"))
    config = parse_config((write_triton(folder, tmp_path) / "config.pbtxt").read_text())
    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (0, False)
    assert list(config.input[0].dims) == [4, 3, 96, 64]
    assert config.input[0].data_type == 2  # TYPE_UINT8 of the schema


def _check_shapes(config, model, *, batched):
    """Names, types and dimensions are those of the graph, whose first Triton leaves out."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(model / "1/model.onnx"), providers=["CPUExecutionProvider"])
    (image,), (heatmaps,) = session.get_inputs(), session.get_outputs()
    assert (config.input[0].name, list(config.input[0].dims)) == (image.name, image.shape[1:])
    assert config.output[0].name == heatmaps.name
    assert list(config.output[0].dims) == [2, 24, 16]
    assert {config.input[0].data_type, config.output[0].data_type} == {11}  # TYPE_FP32 of the schema


def test_the_command_takes_onnx_alone(capsys):
    with pytest.raises(SystemExit) as leave:
        run_command("export", ["-c", "tinypose_128x96", "--triton", "models"])
    assert leave.value.code == 2
    assert "--triton needs --format onnx" in capsys.readouterr().err


def test_a_model_without_onnx_is_an_error(model_dir, tmp_path):
    folder = read_model_folder(model_dir)
    folder = dataclasses.replace(folder, files={"model.json": "0", "model.pdiparams": "0"})
    with pytest.raises(ExportError, match="needs --format onnx"):
        write_triton(folder, tmp_path)
    assert not list(tmp_path.iterdir())
