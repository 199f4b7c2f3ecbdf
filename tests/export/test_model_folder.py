"""The folder of an exported model: what is written is read again, what is wrong is reported in one line."""

from dataclasses import replace

import numpy as np
import pytest

from ppose.codecs import MSRAHeatmap, UDPHeatmap
from ppose.errors import ConfigError, DataError
from ppose.files import file_digest
from ppose.inference.model_folder import ModelFolder, read_model_folder, write_infer_cfg
from ppose.inference.pose_spec import PoseSpec
from ppose.keypoints import make_keypoint_set

ARROW = make_keypoint_set("arrow", ["tip", "left", "right"], [["left", "right"]], [["tip", "left"]])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"graph")
    folder = ModelFolder(
        path=tmp_path,
        name="arrow_64x96",
        spec=PoseSpec(
            input_size=(64, 96),
            flip_test=True,
            keypoint_set=ARROW,
            codec=MSRAHeatmap((64, 96), (16, 24), sigma=1.5, use_dark=True),
            sample_transforms=[{"TopDownEvalAffine": {"trainsize": [64, 96]}}],
            batch_transforms=[
                {"NormalizeImage": {"mean": [0.5, 0.5, 0.5], "std": [1e-3, 1, 1]}},
                {"Permute": {}},
            ],
        ),
        weights_sha256="ab" * 32,
        quantization_sha256=None,
        files={"model.onnx": file_digest(tmp_path / "model.onnx")},
        versions={"ppose": "0.1.0"},
    )
    write_infer_cfg(folder)
    return folder


def test_what_is_written_is_read_again(folder):
    assert read_model_folder(folder.path) == folder
    spec = replace(folder.spec, codec=UDPHeatmap((64, 96), (16, 24)), batch=4, input_dtype="uint8")
    udp = replace(folder, spec=spec)
    assert not folder.is_int8
    udp = replace(udp, quantization_sha256="cd" * 32)
    assert udp.is_int8
    write_infer_cfg(udp)
    assert read_model_folder(str(folder.path)) == udp


def test_the_order_of_channels_and_the_targets_height_are_kept(folder):
    """They change the network's input, and the scores."""
    plain, codec = folder.spec, replace(folder.spec.codec, peak=255.0)
    write_infer_cfg(replace(folder, spec=replace(plain, channel_order="bgr", codec=codec)))
    spec = read_model_folder(folder.path).spec
    assert (spec.channel_order, spec.codec.peak) == ("bgr", 255)
    image = np.random.default_rng(0).integers(0, 256, (96, 64, 3), np.uint8)
    reversed_ = image[..., ::-1].copy()
    expected = plain.make_batch(plain.cut_out(reversed_, None))["image"]
    np.testing.assert_array_equal(spec.make_batch(spec.cut_out(image, None))["image"], expected)
    heatmaps = np.random.default_rng(0).random((1, 3, 24, 16), np.float32)
    np.testing.assert_allclose(
        spec.codec.decode(heatmaps)[1], plain.codec.decode(heatmaps)[1] / 255, rtol=1e-6
    )


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(DataError, match=r"holds no exported model .*export_model\.py makes one"):
        read_model_folder(tmp_path)
    with pytest.raises(DataError, match="none is no folder"):
        read_model_folder(tmp_path / "none")


def test_an_infer_cfg_that_was_not_written_out(folder):
    (folder.path / "infer_cfg.yml").write_text("format: 2\nname: arrow\n")
    with pytest.raises(ConfigError) as caught:
        read_model_folder(folder.path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("input_size: missing; the file is not as it was exported: export again")
    (folder.path / "infer_cfg.yml").write_text("")
    with pytest.raises(DataError, match=r"half-written export: .*infer_cfg\.yml is empty; export again"):
        read_model_folder(folder.path)


def test_an_image_that_is_not_the_networks_input(folder):
    spec, warp = read_model_folder(folder.path).spec, np.zeros((2, 2, 3))
    spec.check_batch({"image": np.zeros((2, 3, 96, 64), np.float32), "warp": warp})
    for image in (np.zeros((2, 96, 64, 3), np.float32), np.zeros((2, 3, 96, 64), np.uint8)):
        with pytest.raises(ConfigError, match=r"export again\): .*network takes float32 \[3, 96, 64\];"):
            spec.check_batch({"image": image, "warp": warp})


def test_an_export_of_version_0_1_is_read(folder):
    file = folder.path / "infer_cfg.yml"
    text = file.read_text().replace("channel_order: rgb\nbox_padding: 1.25\n", "")
    assert "box_padding" not in text
    file.write_text(text)
    assert read_model_folder(folder.path) == folder


def test_a_half_written_export(folder):
    (folder.path / "model.onnx").write_bytes(b"grap")
    with pytest.raises(DataError, match=r"half-written export: .*model\.onnx is not the one .* export again"):
        read_model_folder(folder.path)
    (folder.path / "model.onnx").unlink()
    with pytest.raises(DataError, match=r"model\.onnx is missing; export again"):
        read_model_folder(folder.path)


def test_what_could_not_be_read_is_not_written(folder):
    for changes, expected in (
        ({"box_padding": float("inf")}, "box_padding is inf"),
        ({"batch": 0}, "batch is 0"),
        ({"sample_transforms": [{"RandomShift": {}}]}, "got RandomShift, which inference does not use"),
    ):
        with pytest.raises(ConfigError, match=expected):
            write_infer_cfg(replace(folder, spec=replace(folder.spec, **changes)))
    assert read_model_folder(folder.path) == folder


@pytest.mark.parametrize(
    ("old", "new", "error", "expected"),
    [
        ("format: 2", "format: 1", DataError, r"another version \(format 1, expected 2\); export again"),
        ("format: 2\n", "", DataError, "another version"),
        (
            "batch: null",
            "batch: few",
            ConfigError,
            "infer_cfg.yml:5: batch: got 'few', expected int or nothing",
        ),
        ("batch: null", "batch: 0", ConfigError, "infer_cfg.yml: batch is 0, expected 1 to 1024; "),
        ("flip_test: true\n", "", ConfigError, "flip_test: missing"),
        ("TopDownEvalAffine:", "TopDownEvalAfine:", ConfigError, "did you mean 'TopDownEvalAffine'"),
        ("TopDownEvalAffine:", "HRNet:", ConfigError, "got HRNet, which is no transform"),
        ("sigma: 1.5", "sigma: -1", ConfigError, "sigma is -1"),
        ("MSRAHeatmap", "MSRA", ConfigError, "unknown component 'MSRA'"),
        ("model.onnx", "../model.onnx", ConfigError, "got '../model.onnx', expected some of model.json"),
        (
            "input_size: [64, 96]",
            "input_size: [64, 64]",
            ConfigError,
            r"trainsize is not the input_size \[64, 64\]; ",
        ),
        ("input_size: [64, 96]", "input_size: [64, 9600]", ConfigError, "two whole numbers from 1 to 4096"),
        ("heatmap_size: [16, 24]", "heatmap_size: [16, .nan]", ConfigError, "heatmap_size"),
        (
            "heatmap_size: [16, 24]",
            "heatmap_size: [16, 9999]",
            ConfigError,
            r"\[16, 9999\], expected two whole",
        ),
        ("sigma: 1.5", "sigma: 1000", ConfigError, r"sigma is 1000, expected 0\.01 to 24; "),
        ("sigma: 1.5", "sigma: .inf", ConfigError, "sigma is inf, expected"),
        ("peak: 1.0", "peak: 1e-300", ConfigError, "peak is 1e-300, expected 1e-06 to 1e[+]06; "),
        ("box_padding: 1.25", "box_padding: .nan", ConfigError, r"box_padding is nan, expected 0\.1 to 10; "),
        ("box_padding: 1.25", "box_padding: 0", ConfigError, "box_padding is 0, expected"),
        ("stride: [4.0", "stride: [.inf", ConfigError, "stride is inf, expected"),
        ("mean: [0.5", "mean: [.nan", ConfigError, "mean .* give no finite numbers; "),
        ("0.001, 1, 1", "1.0e-320, 1, 1", ConfigError, "std .* give no finite numbers; "),
        ("- Permute: {}", "- RandomShift: {}", ConfigError, "got RandomShift, which inference does not use"),
        ("names: [tip", "names: [[tip]", ConfigError, "infer_cfg.yml"),
        ("batch: null", "batch: !!python/object:os.system {}", ConfigError, "infer_cfg.yml"),
    ],
)
def test_an_infer_cfg_that_is_not_as_it_was_written(folder, old, new, error, expected):
    file = folder.path / "infer_cfg.yml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(error, match=expected):
        read_model_folder(folder.path)
