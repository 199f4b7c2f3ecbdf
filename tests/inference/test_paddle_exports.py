"""Folders of PaddleDetection and PaddleX: keypoint networks and detectors, in all their layouts."""

import json
import shutil
import sys

import cv2
import numpy as np
import pytest
import yaml

from ppose.errors import ConfigError, DataError
from ppose.inference.detectors.choice import open_detector
from ppose.inference.model_folder import read_model_folder
from ppose.inference.paddle_pose import read_export
from ppose.inference.predictor import Predictor

# As PaddleDetection's export writes it of a TopDownHRNet.
POSE_CFG = {
    "mode": "paddle",
    "draw_threshold": 0.5,
    "metric": "KeyPointTopDownCOCOEval",
    "use_dynamic_shape": False,
    "arch": "HRNet",
    "min_subgraph_size": 3,
    "Preprocess": [
        {"type": "TopDownEvalAffine", "trainsize": [64, 96]},
        {"type": "NormalizeImage", "is_scale": True, "mean": [0, 0, 0], "std": [1, 1, 1]},
        {"type": "Permute"},
    ],
    "label_list": ["keypoint"],
}
# A network of known answer, in its layout: two outputs, and Paddle 2's format.
SAVE_AS_PADDLE_2 = """
import sys
import paddle

class Deployed(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 2, 7, stride=4, padding=3, bias_attr=False)
        self.mean = paddle.nn.AvgPool2D(3, 1, 1, exclusive=False)

    def forward(self, image):
        maps = self.mean(self.mean(self.conv(image)))
        return maps, paddle.argmax(maps.reshape((maps.shape[0], maps.shape[1], -1)), axis=-1)

network = Deployed()
weight = paddle.to_tensor([[1, -0.5, -0.5], [-0.5, -0.5, 1]]) / 20
network.conv.weight.set_value(weight[:, :, None, None].expand([2, 3, 7, 7]))
network.eval()
spec = [paddle.static.InputSpec([None, 3, 96, 64], "float32", "image")]
paddle.jit.save(paddle.jit.to_static(network, spec, full_graph=True), sys.argv[1])
"""


@pytest.fixture
def pose_export(model_dir, tmp_path):
    """Makes a folder of the tests' own model as PaddleDetection, or PaddleX, writes it."""

    def _make(stem="model", cfg="infer_cfg.yml", **changes):
        folder = tmp_path / f"{stem}_export"
        folder.mkdir()
        for ending in ("json", "pdiparams"):
            shutil.copy(model_dir / f"model.{ending}", folder / f"{stem}.{ending}")
        (folder / cfg).write_text(yaml.safe_dump({**POSE_CFG, **changes}))
        return folder

    return _make


def keypoints_of(poses):
    return np.array([pose.keypoints for pose in poses])


@pytest.mark.parametrize(("stem", "cfg"), [("model", "infer_cfg.yml"), ("inference", "inference.yml")])
def test_a_keypoint_network(pose_export, model_dir, crowd, stem, cfg):
    """As our own export of the same graph, decoded with DARK's step as there."""
    image, people, boxes = crowd
    folder = pose_export(stem, cfg, Global={"model_name": "PP-TinyPose_128x96"})
    model = read_export(folder)
    assert (model.name, model.spec.batch) == ("PP-TinyPose_128x96", None)
    assert (model.spec.codec.heatmap_size, model.spec.codec.use_dark) == ((16, 24), True)
    predictor = Predictor.from_dir(folder, cpu_threads=1)
    found = keypoints_of(predictor(image, boxes))
    np.testing.assert_allclose(found, people, atol=3)
    own = Predictor.from_dir(model_dir, runtime="paddle", use_dark=True, cpu_threads=1)
    np.testing.assert_allclose(found, keypoints_of(own(image, boxes)), atol=1)
    quarter = Predictor.from_dir(folder, use_dark=False, cpu_threads=1)
    own = Predictor.from_dir(model_dir, runtime="paddle", cpu_threads=1)
    np.testing.assert_allclose(
        keypoints_of(quarter(image, boxes)), keypoints_of(own(image, boxes)), atol=1e-4
    )


def test_darks_step_is_paddledetections(pose_export, crowd):
    """Its `dark_postprocess`, with a kernel of 3, in a naive loop over one map."""
    rng = np.random.default_rng(0)
    maps = cv2.GaussianBlur(rng.random((24, 16, 2)), None, 2).transpose(2, 0, 1)[None].astype(np.float32)
    points, _ = read_export(pose_export()).spec.codec.decode(maps)
    for heatmap, point in zip(maps[0], points[0], strict=True):
        y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
        blurred = cv2.GaussianBlur(np.pad(heatmap, 1).astype(np.float64), (3, 3), 0)[1:-1, 1:-1]
        log = np.log(np.maximum(blurred * heatmap.max() / blurred.max(), 1e-10))
        expected = np.array([x, y], np.float64)
        if 1 < x < 14 and 1 < y < 22:
            gradient = [(log[y, x + 1] - log[y, x - 1]) / 2, (log[y + 1, x] - log[y - 1, x]) / 2]
            xx = (log[y, x + 2] - 2 * log[y, x] + log[y, x - 2]) / 4
            yy = (log[y + 2, x] - 2 * log[y, x] + log[y - 2, x]) / 4
            xy = (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1]) / 4
            expected -= np.linalg.solve([[xx, xy], [xy, yy]], gradient)
        np.testing.assert_allclose(point / 4, expected, atol=1e-3)


def test_the_warp_and_the_pixels_are_as_it_says(pose_export):
    affine, normalize, permute = POSE_CFG["Preprocess"]
    image = np.random.default_rng(0).integers(0, 255, (120, 80, 3), np.uint8)
    folder = pose_export()

    def read(steps):
        (folder / "infer_cfg.yml").write_text(yaml.safe_dump({**POSE_CFG, "Preprocess": steps}))
        spec = read_export(folder).spec
        return spec.make_batch(spec.cut_out(image, [[10, 20, 60, 90]]))

    plain = read([affine, normalize, permute])
    raw = read([affine, permute])  # of a graph that normalises by itself: fuse_normalize
    np.testing.assert_allclose(raw["image"], plain["image"] * 255, atol=1e-3)
    assert raw["image"].dtype == np.float32
    none = read([affine, {**normalize, "norm_type": "none", "is_scale": False}, permute])
    np.testing.assert_array_equal(none["image"], raw["image"])
    udp = read([{**affine, "use_udp": True}, normalize, permute])
    assert np.abs(udp["warp"] - plain["warp"]).max() > 0.01
    for steps in ([affine], [permute], [affine, {"type": "Resize"}, permute], "none"):
        with pytest.raises(ConfigError, match=r"infer_cfg\.yml: Preprocess: got"):
            read(steps)
    with pytest.raises(ConfigError, match="TopDownEvalAffine has no trainsize"):
        read([{"type": "TopDownEvalAffine", "trainsize": 3}, permute])


def test_paddle_2s_format(run_script, crowd, tmp_path):
    script = f"import os\nos.environ['FLAGS_enable_pir_api'] = '0'\n{SAVE_AS_PADDLE_2}"
    (tmp_path / "save.py").write_text(script)
    result = run_script(tmp_path / "save.py", tmp_path / "model")
    assert (tmp_path / "model.pdmodel").is_file(), result.stderr
    (tmp_path / "infer_cfg.yml").write_text(yaml.safe_dump(POSE_CFG))
    image, people, boxes = crowd
    predictor = Predictor.from_dir(tmp_path, cpu_threads=1, batch_size=1)
    np.testing.assert_allclose(keypoints_of(predictor(image, boxes)), people, atol=3)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"arch": "HigherHRNet"},
            "of the kind HigherHRNet, expected a top-down .*; bottom-up ones do not run",
        ),
        ({"arch": "GFL"}, "of the kind GFL, .*; a detector goes to --det_model_dir"),
    ],
)
def test_other_networks_are_named(pose_export, changes, expected):
    with pytest.raises(DataError, match=expected):
        read_export(pose_export(**changes))


def test_what_they_leave_out_is_as_they_mean_it(pose_export):
    """The kind of network, and of NormalizeImage what PaddleDetection trains with."""
    affine, _, permute = POSE_CFG["Preprocess"]
    steps = [affine, {"type": "NormalizeImage"}, permute]
    folder = pose_export(Preprocess=steps, Global="PP-TinyPose", arch=None)
    model = read_export(folder)
    assert model.name == folder.name
    (normalize, _) = model.spec.batch_transforms
    imagenet = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "is_scale": True}
    assert normalize == {"NormalizeImage": imagenet}
    (folder / "infer_cfg.yml").write_text(yaml.safe_dump({**POSE_CFG, "arch": "TopDownHRNet"}))
    assert read_export(folder).spec.input_size == (64, 96)
    (folder / "infer_cfg.yml").write_text(yaml.safe_dump({**POSE_CFG, "arch": "HigherHRNet"}))
    with pytest.raises(DataError, match="is a bottom-up keypoint network, which ppose does not run"):
        open_detector(folder)


def test_an_unknown_step_or_argument_is_named(pose_export):
    affine, normalize, permute = POSE_CFG["Preprocess"]
    folder = pose_export()
    for steps, expected in (
        # What would be read otherwise than it is meant, without a word.
        ([affine, normalize, normalize, permute], "got .*, expected .*, in this order"),
        ([normalize, affine, permute], "got .*, expected .*, in this order"),
        (
            [affine, {**normalize, "norm_type": "minmax"}, permute],
            "norm_type is minmax, expected mean_std or",
        ),
        ([affine, {**normalize, "is_scale": "false"}, permute], "is_scale is 'false', expected true or"),
        ([{**affine, "use_udp": "no"}, normalize, permute], "use_udp is 'no', expected true or false"),
        ([affine, {"type": "a\nerror: b"}, permute], r"got TopDownEvalAffine, a.*error: b, Permute"),
        ([affine, {**normalize, "per_image": True}, permute], r"NormalizeImage: .* argument 'per_image'"),
        ([{**affine, "pad": 3}, normalize, permute], r"Preprocess: TopDownEvalAffine.*'pad'"),
        ([affine, {**normalize, "mean": "grey"}, permute], r"infer_cfg\.yml: Preprocess: "),
    ):
        (folder / "infer_cfg.yml").write_text(yaml.safe_dump({**POSE_CFG, "Preprocess": steps}))
        with pytest.raises(ConfigError, match=expected) as caught:
            read_export(folder)
        assert "\n" not in str(caught.value)


def test_what_does_not_run_is_one_line(pose_export):
    affine, *others = POSE_CFG["Preprocess"]
    folder = pose_export(Preprocess=[{**affine, "trainsize": [64, 95]}, *others])
    with pytest.raises(DataError, match="is a keypoint network, which goes to --model_dir"):
        open_detector(folder)
    (folder / "model.json").write_text("0")
    with pytest.raises(DataError, match=r"model\.json and its weights do not load in Paddle Inference: "):
        read_export(folder)
    (folder / "model.json").unlink()
    with pytest.raises(
        DataError, match=r"holds infer_cfg.yml, but no model: expected model.json or model.pd"
    ):
        read_export(folder)


def test_pd_keypoint_export(run_script, reference, tmp_path):
    """The case's settings with a stub for a graph: one line says what is wrong."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 30, 3), np.uint8))
    case = reference / "cases" / "pd_keypoint_export"
    result = run_script("deploy/infer.py", "--model_dir", case, "--image_file", tmp_path / "a.png")
    assert result.returncode == 1, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "model.pdmodel is no graph of Paddle (1 bytes)" in errors[0]
    assert "Traceback" not in result.stderr


def test_its_keypoints_in_images_and_evaluated(run_script, pose_export, write_coco, tmp_path):
    """Through deploy/infer.py, which does not know their names, and tools/eval.py, whose config does."""
    folder, data = pose_export(), write_coco(tmp_path / "coco", keypoints=2, images=2)
    result = run_script(
        "deploy/infer.py", "--model_dir", folder, "--image_dir", data / "images", "--boxes",
        data / "annotations.json", "--save_json", "--output_dir", tmp_path / "out",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "does not name its 2 keypoints" in result.stderr
    assert len(json.loads((tmp_path / "out" / "keypoints.json").read_text())) == 6
    (tmp_path / "own.yml").write_text(
        f"""
_BASE_: tinypose_128x96
trainsize: [64, 96]
hmsize: [16, 24]
num_joints: 2
flip_perm: []
KeypointSet: {{name: discs, names: [red, blue], flip_pairs: []}}
EvalDataset: {{dataset_dir: {data}, image_dir: images, anno_path: annotations.json}}
"""
    )
    result = run_script("tools/eval.py", "-c", tmp_path / "own.yml", "--model_dir", folder)
    assert result.returncode == 0, result.stderr
    assert "AP" in result.stdout


def test_own_folders_stay_own(model_dir):
    assert read_export(model_dir) == read_model_folder(model_dir)
    assert sys.modules["ppose.inference.paddle_pose"].find_paddle_export(model_dir) is None
