"""A dataset of small archives in the real layout, from a server that breaks off."""

import hashlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from archive_files import tree, write_zip

from ppose.cli import run_command
from ppose.downloads import datasets
from ppose.downloads.datasets import DATASETS, fetch_parts
from ppose.errors import DownloadError

FILES = {
    "annotations_trainval2017.zip": {
        f"annotations/{kind}_{part}2017.json": b"{}" * 100
        for kind in ("person_keypoints", "instances")
        for part in ("train", "val")
    },
    "image_info_test2017.zip": {"annotations/image_info_test-dev2017.json": b"{}"},
    "val2017.zip": {"val2017/": b"", **{f"val2017/{n:012d}.jpg": bytes(5000) for n in range(5)}},
    "train2017.zip": {f"train2017/{n:012d}.jpg": bytes(5000) for n in range(9)},
}
BOXES = {"person_detection_results/COCO_val2017_detections_AP_H_56_person.json": b"[]" + b" " * 500}


@pytest.fixture
def parts(server, tmp_path, monkeypatch):
    """The parts of COCO, of this server's small files."""
    for name, members in FILES.items():
        server.files[name] = write_zip(tmp_path / name, members).read_bytes()
        (tmp_path / name).unlink()
    server.files["bbox.json"] = next(iter(BOXES.values()))
    small = tuple(
        replace(
            part,
            size=len(server.files[part.file_name]),
            unpacked=part.unpacked and 60_000,
            md5=part.md5 and hashlib.md5(server.files[part.file_name]).hexdigest(),
        )
        for part in DATASETS["coco"]
    )
    monkeypatch.setattr(datasets, "_SPARE", 0)
    monkeypatch.setitem(DATASETS, "coco", small)
    return small


def download(server, folder, *options):
    run_command("download", ["coco", "--dir", str(folder), "--mirror", f"{server.url}/coco/", *options])


@pytest.mark.usefixtures("parts")
def test_all_of_coco_comes_and_stays(server, tmp_path, capsys):
    server.tricks += ["half", "503", "half", "half", "slow"]
    folder = tmp_path / "coco"
    download(server, folder)
    found = tree(folder)
    found.pop(".download.lock", None)
    archives = {name: data for members in FILES.values() for name, data in members.items() if data}
    assert found == archives | BOXES
    asked = len(server.asked)
    capsys.readouterr()
    download(server, folder)
    assert len(server.asked) == asked
    assert capsys.readouterr().out.count("was there") == 5
    # What is missing comes, what the user has changed stays.
    shutil.rmtree(folder / "val2017")
    (folder / "train2017" / "000000000000.jpg").write_bytes(b"mine")
    download(server, folder)
    assert server.asked[asked:] == [("val2017.zip", None)]
    assert (folder / "train2017" / "000000000000.jpg").read_bytes() == b"mine"


@pytest.mark.usefixtures("parts")
def test_parts_by_name(server, tmp_path, capsys):
    download(server, tmp_path / "coco", "--only", "test-dev", "detections")
    assert {name for name, _ in server.asked} == {"image_info_test2017.zip", "bbox.json"}
    with pytest.raises(SystemExit):
        download(server, tmp_path / "coco", "--only", "val2014")
    assert "coco has no 'val2014', it has annotations, test-dev" in capsys.readouterr().err


def test_a_full_disk_is_reported_before_the_first_byte(server, parts, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=100_000))
    with pytest.raises(DownloadError, match=r"free, annotations, .*train2017 need .* GB.*--only"):
        fetch_parts(parts, tmp_path / "coco", server.url)
    assert server.asked == []
    fetch_parts(parts[:1], tmp_path / "coco", server.url)


def test_an_archive_that_is_refused_leaves_no_dataset(server, parts, tmp_path):
    archive = write_zip(tmp_path / "bad.zip", {"val2017/1.jpg": bytes(10**6)})
    server.files["val2017.zip"] = archive.read_bytes()
    val = replace(parts[3], md5=None, size=archive.stat().st_size)
    with pytest.raises(DownloadError, match="more than 120,000 bytes"):
        fetch_parts([val], tmp_path / "coco", server.url)
    assert not (tmp_path / "coco" / "val2017").exists()


def test_another_archive_under_the_name_is_an_error(server, parts, tmp_path):
    server.files["val2017.zip"] = server.files["image_info_test2017.zip"]
    with pytest.raises(DownloadError, match="had no val2017"):
        fetch_parts([replace(parts[3], md5=None)], tmp_path / "coco", server.url)


def test_configs_look_where_parts_are_put():
    made = {name for part in DATASETS["coco"] for name in part.makes}
    text = (Path(__file__).resolve().parents[2] / "configs/_base_/coco_topdown.yml").read_text()
    assert set(re.findall(r"dataset_dir: (\S+)", text)) == {"dataset/coco"}
    named = re.findall(r"(?:image_dir|anno_path): (\S+)", text)
    assert len(named) >= 4
    assert set(named) <= made
