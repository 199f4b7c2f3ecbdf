"""Names of files as they are written and shown; a home folder and variables in all paths."""

import json
import os
from pathlib import Path

import pytest

from ppose.cli import run_command
from ppose.paths import cut_name, expand_path, is_text, show_name
from ppose.workspace import load_config
from ppose.workspace.config import BUILTIN


def test_home_and_variables(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.delenv("NOWHERE", raising=False)
    assert expand_path("~/coco") == "/home/me/coco"
    assert expand_path("${DATA}/a") == expand_path("$DATA/a") == "/data/a"
    for same in ("$NOWHERE/a", "a~b", "https://a.org/~me/$DATA", ""):
        assert expand_path(same) == same


def test_names_are_shown_in_one_line_of_utf_8():
    assert show_name(os.fsdecode("中.jpg".encode("gbk"))) == r"\xd6\xd0.jpg"
    assert show_name(os.fsdecode("é".encode("latin-1")) + "\\") == r"\xe9\\"
    assert show_name("a\nERROR: b\x1b[2J") == r"a\nERROR: b\x1b[2J"
    assert show_name("a\u202egpj.exe") == r"a\u202egpj.exe"
    for same in ("C:\\photos\\a.jpg", "中 é.jpg", "👩‍👧.jpg", Path("a b/-c.jpg")):
        assert show_name(same) == str(same)
    show_name("\ud800").encode()  # no byte of a name, but a text of JSON may have it


def test_a_name_that_is_too_long_is_cut_before_its_ending():
    assert cut_name("a", ".png") == "a.png"
    cut = cut_name("é" * 130, ".png")
    assert (len(os.fsencode(cut)), cut[-5:]) == (254, "é.png")


def test_what_is_text():
    assert is_text("中 é 👩‍👧")
    assert not is_text(os.fsdecode(b"\xd6"))


def test_in_configs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", "/data")
    (tmp_path / "base.yml").write_text(f"_BASE_: {BUILTIN}/tinypose_128x96.yml\nsave_dir: ~/runs\n")
    (tmp_path / "own.yml").write_text("_BASE_: ~/base.yml\nEvalDataset: {dataset_dir: ~/coco}\n")
    cfg = load_config("~/own.yml", ["weights=~/a.pdparams", "TrainDataset.dataset_dir=$DATA/coco"])
    assert cfg["save_dir"] == f"{tmp_path}/runs"
    assert cfg["EvalDataset"]["dataset_dir"] == f"{tmp_path}/coco"
    assert cfg["weights"] == f"{tmp_path}/a.pdparams"
    assert cfg["TrainDataset"]["dataset_dir"] == "/data/coco"


def test_an_override_may_be_a_path_that_is_no_text():
    folder = os.fsdecode(b"/\xd6\xd0")
    cfg = load_config("tinypose_128x96", [f"EvalDataset.dataset_dir={folder}"])
    assert cfg["EvalDataset"]["dataset_dir"] == folder


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("predict", ["--model_dir", "~/none", "--image_file", "~/a.jpg"]),
        ("benchmark", ["--model_dir", "$PLACE/none"]),
        ("eval", ["-c", "~/none"]),
        ("infer", ["-c", "tinypose_128x96", "--infer_dir", "~/none"]),
    ],
)
def test_in_flags(command, flags, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", str(tmp_path))
    (tmp_path / "a.jpg").touch()
    with pytest.raises(SystemExit) as leave:
        run_command(command, flags)
    assert leave.value.code == 1
    assert f"{tmp_path}/none" in capsys.readouterr().err


def test_lists_of_files_are_expanded(tmp_path, monkeypatch, capsys):
    """`merge` and `check` take several files, the latter configs too."""
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "keypoints": [5, 5, 2] * 17}
    image = {"id": 1, "file_name": "a.png", "width": 20, "height": 20}
    (tmp_path / "annotations.json").write_text(json.dumps({"images": [image], "annotations": [person]}))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", str(tmp_path))
    run_command("merge", ["$DATA/annotations.json", "~/annotations.json", "--output", "~/both.json"])
    assert (tmp_path / "both.json").is_file()
    with pytest.raises(SystemExit):  # the image is not there
        run_command("check", ["$DATA/annotations.json", "--output_dir", "~/check"])
    assert "1 people, 1 images" in capsys.readouterr().out
