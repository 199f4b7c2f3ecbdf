"""Folders, shards and tables as people have them: names of cameras, links, two archives in one."""

import gzip
import io
import json
import tarfile

import batch_jobs
import pyarrow as pa
import pyarrow.parquet
import pytest

from ppose.batch.chunks import Chunk
from ppose.batch.place import Place, open_place
from ppose.batch.reading import read_items


def about(boxes, key="boxes"):
    return json.dumps({key: boxes}).encode()


def test_photos_keep_their_cameras_names_and_linked_folders_count(settings, draw, tmp_path, caplog):
    folder, other = tmp_path / "in [1]", tmp_path / "other"
    for path in (folder / "_DSC0001.png", folder / "a[2].png", folder / "._a.png", other / "b.png"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(draw(1))
    (folder / "more").symlink_to(other)
    (other / "round").symlink_to(folder)
    (folder / "notes.txt").touch()
    caplog.set_level("INFO")
    rows = batch_jobs.run(settings(folder))
    assert [row["image"] for row in rows] == ["_DSC0001.png", "a[2].png", "more/b.png"]
    assert "left out 2 files of another kind" in caplog.text
    for name in ("a[2].png", "a[*.png"):
        rows = batch_jobs.run(settings(folder / name, output=tmp_path / f"out {name[2]}"))
        assert [row["image"] for row in rows] == ["a[2].png"]


def test_images_without_boxes_beside_them_are_errors(settings, draw, pack, tmp_path):
    """And not pictures of nobody."""
    boxes = [[10, 10, 40, 80]]
    members = [
        ("._a.png", b""), ("a.png", draw(1)), ("._a.json", b""), ("a.json", about(boxes)),  # of macOS
        ("b.png", draw(1)), ("b.json", about(boxes, "bboxes")),
        ("c.png", draw(1)),
        ("d.png", draw(1)), ("d.json", b"[1]"),
        ("e.png", draw(1)), ("e.json", about([[10, 10, 40, 80, 0.9]] * 4)),
        ("f.png", draw(1)), ("f.json", about(0)),
        ("g.png", draw(1)), ("g.json", about(None)),
        ("h.png", draw(1)), ("h.json", about(boxes)), ("h.more.json", about(1, "size")),
    ]  # fmt: skip
    (tmp_path / "a.tar").write_bytes(pack(members))
    rows = batch_jobs.run(settings(tmp_path / "a.tar", boxes_column="boxes"))
    assert [row["image"] for row in rows] == [f"{letter}.png" for letter in "abcdefgh"]
    assert [row["error"] for row in rows] == [
        None,
        "no .json beside b.png has the key boxes",
        "no .json beside c.png",
        "no .json beside d.png has the key boxes",
        "its boxes are not a list of [x, y, width, height]",
        "its boxes are not a list of [x, y, width, height]",
        None,
        None,
    ]
    assert [len(row["people"]) for row in rows] == [1, 0, 0, 0, 0, 0, 0, 1]


def test_names_with_points_keep_their_own_boxes(settings, draw, pack, tmp_path):
    """All of them are one sample to WebDataset, whose names end at the first point."""
    boxes = [[[10, 10, 40, 80]] * number for number in range(3)]
    members = []
    for number, of_image in enumerate(boxes):
        members += [(f"walk.{number}.png", draw(number)), (f"walk.{number}.json", about(of_image))]
    members += [
        ("walk.left.png", draw(1)),
        ("turn.png", draw(1)),
        ("turn.json", about([])),
        ("turn.json", about([])),
    ]
    (tmp_path / "a.tar").write_bytes(pack(members))
    rows = batch_jobs.run(settings(tmp_path / "a.tar", boxes_column="boxes"))
    assert [len(row["people"]) for row in rows] == [0, 1, 2, 0, 0]
    assert [row["error"] for row in rows[3:]] == [
        f"several .json beside {name}.png have the key boxes" for name in ("walk.left", "turn")
    ]


def test_links_in_a_shard_are_errors(settings, draw, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind in (
            ("a.png", tarfile.REGTYPE),
            ("b.png", tarfile.LNKTYPE),
            ("c.png", tarfile.SYMTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a.png"
            member.size = len(draw(1)) if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(draw(1)))
    rows = batch_jobs.run(settings(tmp_path / "a.tar"))
    assert [row["error"] for row in rows] == [
        None,
        "b.png is a link or no file",
        "c.png is a link or no file",
    ]


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_a_second_archive_in_a_file_is_not_lost_silently(settings, draw, pack, tmp_path, ending):
    archives = [pack([(name, draw(1))]) for name in ("a.png", "b.png")]
    if ending == "tar.gz":
        archives = [gzip.compress(archive) for archive in archives]
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"".join(archives))
    rows = batch_jobs.run(settings(path))
    assert [row["error"] for row in rows] == [None, f"a.{ending} goes on after its end: the rest is lost"]


@pytest.mark.parametrize("damage", ["none", "cut", "checksum", "junk"])
def test_a_shard_compressed_in_blocks(settings, draw, pack, tmp_path, damage):
    data = pack([(f"{number}.png", draw(number)) for number in range(3)])
    blocks = [gzip.compress(data[start : start + 999]) for start in range(0, len(data), 999)]
    if damage == "checksum":
        blocks[-1] = blocks[-1][:-8] + bytes(8)
    packed = b"".join(blocks)
    packed = {"cut": packed[:-9], "junk": packed + b"junk"}.get(damage, packed)
    (tmp_path / "a.tar.gz").write_bytes(packed)
    rows = batch_jobs.run(settings(tmp_path / "a.tar.gz"))
    assert [(row["image"], row["error"]) for row in rows[:3]] == [
        (f"{number}.png", None) for number in range(3)
    ]
    assert ["is damaged, the rest is lost" in row["error"] for row in rows[3:]] == [True] * (damage != "none")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_shard_of_a_server_that_cannot_seek(draw, tmp_path, monkeypatch, mode):
    """Such as one that streams; the content says how it is compressed, not the name."""
    with tarfile.open(tmp_path / "a.tar", mode) as tar:
        member = tarfile.TarInfo("a.png")
        member.size = len(draw(1))
        tar.addfile(member, io.BytesIO(draw(1)))

    class Streaming(io.FileIO):
        def seek(self, *_):
            raise ValueError("cannot seek")

    monkeypatch.setattr(Place, "open", lambda self, name: Streaming(tmp_path / name))
    (item,) = read_items(open_place(str(tmp_path)), "tar", Chunk(0, "a.tar"), "image", None)
    assert item.load()[0].shape == (100, 140, 3)


@pytest.mark.parametrize(
    "kind",
    [pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary()),
     pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)  # fmt: skip
def test_columns_of_all_kinds(settings, draw, tmp_path, kind):
    (tmp_path / "a b.png").write_bytes(draw(1))
    is_text = "string" in str(kind)
    plain = pa.array(["a b.png", None] if is_text else [draw(1), None])
    column = plain.dictionary_encode() if pa.types.is_dictionary(kind) else plain.cast(kind)
    pa.parquet.write_table(pa.table({"image": column}), tmp_path / "a.parquet")
    rows = batch_jobs.run(settings(tmp_path / "a.parquet"))
    assert [row["error"] for row in rows] == [None, "a.parquet#1 has no image"]
