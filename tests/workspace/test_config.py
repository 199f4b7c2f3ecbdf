"""The config language: inheritance, anchors, tags as data, overrides."""

import textwrap
from pathlib import Path

import pytest

from ppose.errors import ConfigError
from ppose.workspace import load_config
from ppose.workspace.config import BUILTIN

MODEL = """
architecture: TopDownHRNet
num_joints: &num_joints 17
width: &width 32
trainsize: &trainsize [192, 256]
hmsize: [48, 64]
TopDownHRNet: {backbone: HRNet, num_joints: *num_joints, width: *width}
HRNet: {width: *width}
LearningRate:
  base_lr: 1e-3
  schedulers:
  - !PiecewiseDecay {milestones: [170, 200], gamma: 0.1}
EvalDataset: !KeypointTopDownCocoDataset {image_dir: val2017, anno_path: a.json, trainsize: *trainsize}
EvalReader:
  sample_transforms:
  - TopDownAffine: {trainsize: *trainsize}
  batch_size: 16
"""


@pytest.fixture
def write(tmp_path):
    def _write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return _write


def test_tags_are_data_and_floats_are_floats(write):
    cfg = load_config(write("a.yml", MODEL))
    assert cfg["LearningRate"]["base_lr"] == 0.001
    assert cfg["LearningRate"]["schedulers"] == [
        {"type": "PiecewiseDecay", "milestones": [170, 200], "gamma": 0.1}
    ]
    assert cfg["EvalDataset"]["type"] == "KeypointTopDownCocoDataset"
    assert cfg["TopDownHRNet"]["width"] == 32


def test_loading_twice_gives_independent_values(write):
    path = write("a.yml", MODEL)
    first = load_config(path)
    first["HRNet"]["width"] = 99
    first["EvalDataset"]["trainsize"].append(1)
    assert load_config(path)["HRNet"]["width"] == 32
    assert first["EvalReader"]["sample_transforms"][0]["TopDownAffine"]["trainsize"] == [192, 256]


def test_overridden_anchor_moves_its_aliases(write):
    cfg = load_config(write("a.yml", MODEL), ["width=48", "trainsize=[288,384]"])
    assert cfg["HRNet"]["width"] == cfg["TopDownHRNet"]["width"] == 48
    assert cfg["EvalDataset"]["trainsize"] == [288, 384]
    assert cfg["EvalReader"]["sample_transforms"][0]["TopDownAffine"]["trainsize"] == [288, 384]


def test_overridden_alias_changes_only_its_place(write):
    cfg = load_config(write("a.yml", MODEL), ["HRNet.width=18"])
    assert cfg["HRNet"]["width"] == 18
    assert cfg["width"] == cfg["TopDownHRNet"]["width"] == 32


def test_an_anchored_value_of_ones_own_stays_known_when_its_last_alias_is_overridden(write):
    text = MODEL.replace("batch_size: 16", "batch_size: *mine") + "\n"
    path = write("a.yml", text.replace("\narchitecture", "\nmine: &mine 16\narchitecture", 1))
    assert load_config(path, ["EvalReader.batch_size=4"])["EvalReader"]["batch_size"] == 4
    assert load_config(path, ["mine=8"])["EvalReader"]["batch_size"] == 8


def test_an_override_that_nothing_takes_is_an_error(write):
    """As where a config has transforms of its own, and a value of its base is left without a use."""
    own = MODEL.replace("batch_size: 16", "batch_size: *size").replace("\nTop", "\nsize: &size 16\nTop", 1)
    write("base.yml", own)
    child = write("child.yml", "_BASE_: base.yml\nEvalReader: {batch_size: 4}\n")
    assert load_config(write("same.yml", "_BASE_: base.yml"), ["size=8"])["EvalReader"]["batch_size"] == 8
    assert "override 'size': nothing in this config takes it" in _fails(child, "size=8")
    assert load_config(child, ["num_joints=16"])["TopDownHRNet"]["num_joints"] == 16


def test_a_value_of_a_file_that_nothing_takes_is_named(write, caplog):
    """Values of a base are not: an inheriting config may leave any of them without a use."""
    own = MODEL.replace("batch_size: 16", "batch_size: *size").replace("\nTop", "\nsize: &size 16\nTop", 1)
    write("base.yml", own)
    load_config(write("quiet.yml", "_BASE_: base.yml\nEvalReader: {batch_size: 4}\n"))
    assert not caplog.messages
    load_config(write("child.yml", "_BASE_: base.yml\nsize: 8\nEvalReader: {batch_size: 4}\n"))
    assert "values that nothing in this config takes: size" in caplog.text


def test_several_overrides_under_one_parent_all_hold(write):
    overrides = ["TopDownHRNet.flip=False", "TopDownHRNet.use_dark=true", "EvalDataset.bbox_file=b.json"]
    cfg = load_config(write("a.yml", MODEL), overrides)
    assert cfg["TopDownHRNet"] == {
        "backbone": "HRNet", "num_joints": 17, "width": 32, "flip": False, "use_dark": True,
    }  # fmt: skip
    assert cfg["EvalDataset"]["bbox_file"] == "b.json"
    assert cfg["EvalDataset"]["image_dir"] == "val2017"


@pytest.mark.parametrize("path", ["0.TopDownAffine", "TopDownAffine", "-1.TopDownAffine"])
def test_override_inside_a_list(write, path):
    cfg = load_config(write("a.yml", MODEL), [f"EvalReader.sample_transforms.{path}.use_udp=true"])
    assert cfg["EvalReader"]["sample_transforms"][0]["TopDownAffine"]["use_udp"] is True
    cfg = load_config(write("a.yml", MODEL), ["LearningRate.schedulers.PiecewiseDecay.gamma=0.5"])
    assert cfg["LearningRate"]["schedulers"][0]["gamma"] == 0.5


def test_override_of_a_default_without_a_block(write):
    cfg = load_config(write("a.yml", MODEL.replace("HRNet: {width: *width}\n", "", 1)), ["HRNet.width=32"])
    assert cfg["HRNet"] == {"width": 32}


def test_plus_adds_a_key(write):
    with pytest.raises(ConfigError, match="no such key"):
        load_config(
            write("a.yml", MODEL), ["KeyPointMSELoss.loss_scale=1.0", "OptimizerBuilder.clip_grad_by_norm=1"]
        )
    cfg = load_config(write("a.yml", MODEL), ["+OptimizerBuilder.clip_grad_by_norm=1"])
    assert cfg["OptimizerBuilder"] == {"clip_grad_by_norm": 1}


def test_inherited_values_replace_anchors_of_every_file(write):
    write("data.yml", "trainsize: &t [192, 256]\nhmsize: [48, 64]\nEvalDataset: "
          "!KeypointTopDownCocoDataset {image_dir: v, anno_path: a, trainsize: *t}\n")  # fmt: skip
    write(
        "model.yml",
        """
        architecture: TopDownHRNet
        num_joints: &n 17
        trainsize: &t [192, 256]
        TopDownHRNet: {backbone: HRNet, num_joints: *n, width: 32}
        HRNet: {width: 32}
        EvalReader: {sample_transforms: [{TopDownAffine: {trainsize: *t}}], batch_size: 16}
        """,
    )
    child = write(
        "child.yml",
        """
        _BASE_: [data.yml, model.yml]
        trainsize: [288, 384]
        EvalDataset: {image_dir: other}
        EvalReader: {batch_size: 4}
        """,
    )
    cfg = load_config(child)
    assert cfg["EvalDataset"]["trainsize"] == [288, 384]
    assert cfg["EvalDataset"]["image_dir"] == "other"
    assert cfg["EvalDataset"]["type"] == "KeypointTopDownCocoDataset"
    assert cfg["EvalReader"] == {
        "sample_transforms": [{"TopDownAffine": {"trainsize": [288, 384]}}],
        "batch_size": 4,
    }
    assert load_config(child, ["trainsize=[96,128]"])["EvalDataset"]["trainsize"] == [96, 128]
    assert "_BASE_" not in cfg


def test_a_block_of_another_type_replaces_the_whole(write):
    write("base.yml", MODEL + "\nOptimizerBuilder: {optimizer: {type: Adam, beta1: 0.5}}\n")
    child = write("child.yml", "_BASE_: base.yml\nOptimizerBuilder: {optimizer: {type: SGD}}\n")
    assert load_config(child)["OptimizerBuilder"]["optimizer"] == {"type": "SGD"}


def _fails(path, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


def test_all_errors_at_once_with_file_line_key_and_suggestion(write):
    text = MODEL.replace("{backbone: HRNet,", "{backbon: HRNet,").replace(
        "HRNet: {width: *width}", "HRNet: {width: wide}"
    )
    message = _fails(write("bad.yml", text))
    lines = message.splitlines()
    assert len(lines) == 3
    assert any(
        "bad.yml:7: TopDownHRNet.backbon: unknown key; did you mean 'backbone'?" in line for line in lines
    )
    assert any("TopDownHRNet.backbone: missing" in line for line in lines)
    assert any("bad.yml:8: HRNet.width: got 'wide', expected int" in line for line in lines)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("HRNet: {width: *width}", "HRNet: {width: true}", "HRNet.width: got True, expected int"),
        ("backbone: HRNet", "backbone: HRNett", "unknown component 'HRNett'; did you mean 'HRNet'?"),
        ("architecture: TopDownHRNet", "architecture: TopDown", "unknown component 'TopDown'"),
        ("!PiecewiseDecay", "!PieceDecay", "unknown component 'PieceDecay'; did you mean 'PiecewiseDecay'?"),
        ("num_joints: &num_joints 17", "num_joints: &num_joints '17'", "num_joints: got '17', expected int"),
        ("hmsize: [48, 64]", "hmsize: [48, x]", "hmsize: got [48, 'x'], expected a list of int"),
        ("hmsize: [48, 64]", "hmsise: [48, 64]", "hmsise: unknown key; did you mean 'hmsize'?"),
        ("batch_size: 16", "batch_size: 16\n  batch_size: 8", "the key 'batch_size' occurs twice"),
        ("anno_path: a.json, ", "", "EvalDataset.anno_path: missing, KeypointTopDownCocoDataset needs it"),
        ("HRNet: {width: *width}", "HRNet: !!python/object:os.system {}", "not allowed in a config"),
        ("hmsize: [48, 64]", "hmsize: [48, 64", "not valid YAML"),
        ("- TopDownAffine: {trainsize: *trainsize}", "- 3", "expected a component"),
        ("backbone: HRNet", "backbone: TopDownHRNet", "got TopDownHRNet, which is no backbone"),
        ("- TopDownAffine: {trainsize: *trainsize}", "- HRNet", "got HRNet, which is no transform"),
        ("!KeypointTopDownCocoDataset", "!ImageFolder", "which is no dataset"),
        ("num_joints: &num_joints 17", "num_joints: &num_joints 17\nnm_joints: *num_joints", "unknown key"),
    ],
)
def test_what_is_wrong_is_named(write, old, new, expected):
    assert old in MODEL
    message = _fails(write("bad.yml", MODEL.replace(old, new)))
    assert expected in message
    assert "bad.yml:" in message


@pytest.mark.parametrize("overrides", ["epoch=3", [3]])
def test_overrides_are_a_list_of_texts(write, overrides):
    with pytest.raises(ConfigError, match="expected a list of texts"):
        load_config(write("a.yml", MODEL), overrides)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("TopDownHRNet.backbon=HRNet", "did you mean 'backbone'?"),
        ("TopDownHRNet.use_darc=true", "did you mean 'use_dark'?"),
        ("wieghts=a", "did you mean 'weights'?"),
        ("LiteHRNet.width=40", "no such key"),
        ("width.x=1", "is a value"),
        ("EvalReader.sample_transforms.3.a=1", "no such item"),
        ("width", "expected key=value"),
        ("=1", "expected key=value"),
        ("TopDownHRNet.flip=[", "not valid YAML"),
        ("HRNet.width=wide", "-o HRNet.width: HRNet.width: got 'wide', expected int"),
    ],
)
def test_wrong_overrides_are_named(write, override, expected):
    assert expected in _fails(write("a.yml", MODEL), override)


def test_missing_files_and_circles(write, tmp_path):
    assert "config file not found" in _fails(tmp_path / "none.yml")
    assert "no such file" in _fails(write("a.yml", "_BASE_: none.yml\n"))
    write("b.yml", "_BASE_: c.yml\n")
    assert "inherits itself" in _fails(write("c.yml", "_BASE_: b.yml\n"))
    assert "a config is a mapping" in _fails(write("d.yml", "- 1\n"))


def test_an_alias_bomb_is_refused(write):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    assert "more than" in _fails(write("bomb.yml", "\n".join([*lines, "flip_perm: *a8"])))


def test_an_anchor_inside_a_block_is_found_before_its_aliases(write):
    text = MODEL.replace("width: &width 32\n", "").replace(
        "width: *width}\nHRNet: {width: *width}", "width: &w 32}\nHRNet: {width: *w}"
    )
    cfg = load_config(write("a.yml", text), ["TopDownHRNet.width=18"])
    assert cfg["HRNet"]["width"] == 18
    assert load_config(write("a.yml", text), ["HRNet.width=18"])["TopDownHRNet"]["width"] == 32


def test_keys_without_use_are_accepted_with_one_warning(write, caplog):
    load_config(write("a.yml", MODEL + "num_classes: 1\nprint_flops: true\n"))
    assert [r.message for r in caplog.records if "without effect" in r.message] == [
        f"{caplog.records[0].args[0]}: keys without effect here: "
        "num_classes (there is one class, person), print_flops (not needed)"
    ]


def test_a_config_that_comes_with_ppose_is_found_by_its_name(tmp_path, monkeypatch, write):
    by_file = load_config(BUILTIN / "tinypose_256x192.yml")
    monkeypatch.chdir(tmp_path)
    assert load_config("tinypose_256x192") == load_config("tinypose_256x192.yml") == by_file
    own = write("own.yml", "_BASE_: tinypose_256x192\nepoch: 3\n")
    assert load_config(own) == {**by_file, "epoch": 3}
    (tmp_path / "tinypose_256x192").write_text(MODEL)  # a file wins
    assert load_config("tinypose_256x192")["architecture"] == "TopDownHRNet"
    assert load_config("tinypose_256x192") != by_file
    assert load_config(own)["HRNet"] == {"width": 32}


def test_an_unknown_name_of_a_config_gives_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "config file not found: tinypose_256x129; did you mean 'tinypose_256x192'?" in _fails(
        "tinypose_256x129"
    )
    assert "config file not found: ../ppose/configs" in _fails("../ppose/configs")
