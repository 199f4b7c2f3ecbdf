"""The commands of README and docs/: all are what the commands take, and run on small drawn data."""

import importlib
import json
import re
import shutil
from pathlib import Path

import paddle
import pytest
from doc_scripts import load_doc_script
from torch_files import FloatStorage, make_torch_file

import ppose
from ppose.cli import COMMANDS, make_parser
from ppose.data.synthetic import write_dataset
from ppose.workspace import load_config

ROOT = Path(__file__).resolve().parent.parent.parent
page_commands = load_doc_script("page_commands")
BLOCKS = list(page_commands.list_blocks())
# Pages whose tests run every command of theirs.
TESTED = {"docs/tutorials/own_keypoints.md", "docs/spacecraft.md"}
# What is no command of ours, and is not read further.
OTHERS = {"make", "pip", ".venv/bin/pip", "curl", "docker", "visualdl", "."}
# Configs of the reader's, which come with no repository.
OF_THE_READER = {"configs/arrow.yml"}
# What makes files of the names that pages use, of people.json.
PREPARATION = """
convert people.json labelme_folder --to labelme
convert people.json CollectedData_me.csv --to deeplabcut
convert people.json openpose_folder --to openpose
split dataset/arrow/annotations.json --parts train=0.5 val=0.5 --duplicates ignore
"""


# The script of each command, which does the same.
SCRIPTS = {
    found[1]: path
    for folder in ("tools", "deploy", "dataset")
    for path in (ROOT / folder).rglob("*.py")
    if (found := re.search(r'run_command\("(\w+)"\)', path.read_text()))
}


def find_command(words):
    """The name of our command and its arguments; None for what is none of ours."""
    program, *rest = words
    if program == "ppose":
        return rest[0], rest[1:]
    if program in OTHERS or program == "python3":
        return None
    assert program in ("python", ".venv/bin/python"), words
    if rest[:2] == ["-m", "pytest"]:
        return None
    if rest[:2] == ["-m", "paddle.distributed.launch"]:
        rest = rest[next(i for i, word in enumerate(rest) if word.endswith(".py")) :]
    assert (ROOT / rest[0]).is_file(), words
    named = [name for name, path in SCRIPTS.items() if path == ROOT / rest[0]]
    return (named[0], rest[1:]) if named else None


def commands_of(blocks):
    for block in blocks:
        for words in block.commands():
            if (found := find_command(words)) is not None:
                yield block, *found


def test_every_command_has_a_script():
    assert set(SCRIPTS) == set(COMMANDS)


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS}))
def test_every_command_is_one_that_its_parser_takes(page):
    for block, name, arguments in commands_of(b for b in BLOCKS if b.page == page):
        assert name in COMMANDS, block
        args = make_parser(importlib.import_module(f"ppose.commands.{name}"), name).parse_args(arguments)
        config = getattr(args, "config", None)
        if config is not None and str(config) not in OF_THE_READER:
            load_config(ROOT / config if str(config).endswith(".yml") else config, args.overrides)


def test_commands_that_do_not_run_say_why_and_stand_on_the_page_of_what_is_untested():
    page = (ROOT / "docs" / "untested.md").read_text()
    assert page_commands.list_not_run() in page
    assert not any(block.not_run for block in BLOCKS if block.page in TESTED)


SMALLER = {"benchmark": ["--rounds", "1", "--batches", "1"], "tune": ["--seconds", "2"]}
SMALL = """
_BASE_: [_base_/coco_topdown.yml, _base_/dark_targets.yml, _base_/pose_resnet.yml]
trainsize: [64, 64]
hmsize: [16, 16]
PoseResNet: {depth: 10, width: 8, deconv_channels: 8, use_dark: true, flip: false}
TrainReader: {batch_size: 4}
EvalReader: {batch_size: 8}
epoch: 1
snapshot_epoch: 1
worker_num: 0
use_vdl: false
pretrain_weights: null
"""
CONFIGS = {
    "tinypose_256x192": SMALL,
    "lite_hrnet_30_256x192_coco": SMALL,
    "hrnet_w32_256x192": SMALL,
    "hrnet_w32_256x192_teacher": "_BASE_: hrnet_w32_256x192.yml\nweights: tinypose_256x192.pdparams\n"
    "distill_loss: {name: DistMSELoss, weight: 1.0, key: output}\n",
    "arrow": "_BASE_: tinypose_256x192.yml\n"
    "TrainDataset: {dataset_dir: dataset/arrow, image_dir: images, anno_path: train.json}\n"
    "EvalDataset: {dataset_dir: dataset/arrow, image_dir: images, anno_path: val.json}\n",
    "tinypose_256x192_pact": "_BASE_: [tinypose_256x192.yml, _base_/pact.yml]\nepoch: 1\n"
    "pretrain_weights: tinypose_256x192.pdparams\nQAT: {calibration_images: 4}\n",
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder like a clone with data: the pages' files and names, drawn people, small networks."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "configs", folder / "configs")
    for name, text in CONFIGS.items():
        (folder / "configs" / f"{name}.yml").write_text(text)
    coco = folder / "dataset" / "coco"
    write_dataset(folder / "drawn", 6, 0, people=(1, 1), size=(96, 96), workers=1)
    annotations = (folder / "drawn" / "annotations.json").read_text()
    (coco / "annotations").mkdir(parents=True)
    for part in ("train2017", "val2017"):
        shutil.copytree(folder / "drawn" / "images", coco / part)
        (coco / "annotations" / f"person_keypoints_{part}.json").write_text(annotations)
    shutil.copytree(folder / "drawn" / "images", folder / "photos")
    shutil.copy(next((folder / "photos").iterdir()), folder / "photo.jpg")
    people = json.loads(annotations)
    for person in people["annotations"]:
        person["track_id"] = person["id"]
    (folder / "people.json").write_text(json.dumps(people))
    shutil.copytree(folder / "drawn" / "images", folder / "images")
    for name in ("dataset/arrow", "a", "b"):
        shutil.copytree(folder / "drawn", folder / name)
    model = ppose.load_model(folder / "configs" / "tinypose_256x192.yml", False)
    paddle.save(model.state_dict(), str(folder / "tinypose_256x192.pdparams"))
    weight = make_torch_file({"w": (FloatStorage("0", 4), 0, (2, 2), (2, 1))}, {"0": bytes(16)})
    (folder / "hrnet_w32.pth").write_bytes(weight)
    return folder


@pytest.mark.heavy
def test_the_commands_run(clone, run_tool, monkeypatch, capsys):
    """In the order of the pages, but quantization first, whose weights are exported."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    elsewhere = {words for b in BLOCKS if b.page in TESTED for words in map(tuple, b.commands())}
    runs = [b for b in BLOCKS if not b.not_run and b.page not in TESTED]
    runs.sort(key=lambda block: (block.page != "README.md", block.page != "docs/quantization.md"))
    commands = []
    for block in runs:
        for words in block.commands():
            found = find_command(words)
            if tuple(words) not in elsewhere:
                assert found is not None, words
                if found not in commands:
                    commands.append(found)
    prepared = [(name, words) for name, *words in map(str.split, PREPARATION.strip().splitlines())]
    for name, arguments in prepared + commands:
        # Configs by name are those of the clone.
        own = [f"configs/{word}.yml" if word in CONFIGS else word for word in arguments]
        result = run_tool(SCRIPTS[name], *own, *SMALLER.get(name, []), cwd=clone)
        assert result.returncode == 0, (name, arguments, result.stdout, result.stderr)
    assert len(commands) > 15
    assert list((clone / "output" / "tinypose_256x192" / "vis").glob("*.jpg"))
    assert json.loads((clone / "output" / "keypoints.json").read_text())
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(clone)
    exec(compile(program, "README.md", "exec"), {})
    assert len(re.findall(r"[-\d.]+", capsys.readouterr().out)) >= 1 + 17 * 2
