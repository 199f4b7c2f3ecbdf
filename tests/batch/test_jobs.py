"""Jobs in this process: a row an image, whatever the images are in, and however often a job is started."""

import io
import json
import tarfile
from functools import partial

import batch_jobs
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from ppose.batch import engines
from ppose.batch.place import open_place
from ppose.inference.predictor import Predictor
from ppose.transforms import decode_annotated


@pytest.fixture(scope="session")
def predictor(model_dir):
    return Predictor.from_dir(model_dir, runtime="onnxruntime", cpu_threads=1)


def keypoints(row):
    return np.array([person["keypoints"] for person in row["people"]], np.float32)


def as_predicted(poses):
    return np.array([pose.to_record()["keypoints"] for pose in poses], np.float32)


def test_a_folder_gives_what_the_predictor_gives(settings, pictures, predictor, capsys):
    folder = pictures()
    rows = batch_jobs.run(settings(folder))
    names = [f"{'more/' if n % 2 else ''}{n:04d}.png" for n in range(7)]
    assert sorted(row["image"] for row in rows) == sorted(names)
    assert [row["index"] for row in rows] == list(range(7))
    for row in rows:
        if row["image"] == "0002.png":
            assert row["error"] == "not a readable image: 0002.png (12 bytes)"
            assert (row["width"], row["people"]) == (None, [])
            continue
        poses = predictor(folder / row["image"])
        assert (row["width"], row["height"], row["error"]) == (140, 100, None)
        np.testing.assert_array_equal(keypoints(row), as_predicted(poses))
        np.testing.assert_allclose(row["people"][0]["bbox"], [0, 0, 140, 100])
    said = capsys.readouterr().out
    assert "7 images in 3 parts (1 could not be read, see the column `error`), 6 people" in said
    assert "not a readable image: 0002.png" in said


def test_boxes_of_a_file_go_to_their_images(settings, pictures, predictor, tmp_path):
    folder, box = pictures(4, broken=()), [10, 10, 50, 80]
    (tmp_path / "boxes.json").write_text(
        json.dumps([{"image": "more/0001.png", "bbox": box}, {"image": "0002.png", "bbox": box}] * 2)
    )
    rows = batch_jobs.run(settings(folder, box_file=str(tmp_path / "boxes.json")))
    people = {row["image"]: keypoints(row) for row in rows}
    assert {name: len(found) for name, found in people.items()} == {
        "0000.png": 0, "more/0001.png": 2, "0002.png": 2, "more/0003.png": 0,
    }  # fmt: skip
    poses = predictor(folder / "0002.png", [[10, 10, 60, 90]] * 2)
    np.testing.assert_array_equal(people["0002.png"], as_predicted(poses))


def test_shards_with_boxes_beside_their_images(settings, shard, predictor, draw, tmp_path):
    for number in range(2):
        (tmp_path / f"shard-{number}.tar").write_bytes(shard(5 * number, 5))
    rows = batch_jobs.run(settings(tmp_path / "shard-*.tar", boxes_column="boxes"))
    assert [(row["file"], row["index"], row["image"]) for row in rows] == [
        (f"shard-{n // 5}.tar", n % 5, f"set/{n:04d}.png") for n in range(10)
    ]
    assert [len(row["people"]) for row in rows] == [n % 3 for n in range(10)]
    poses = predictor(decode_annotated(draw(4), "it"), [[30, 10, 70, 90]])
    np.testing.assert_array_equal(keypoints(rows[4]), as_predicted(poses))


def _pack_sparse():
    """A member whose map, which is to be before its content, is none."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        about = tarfile.TarInfo("a.png")
        about.size, about.pax_headers = 5, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        tar.addfile(about, io.BytesIO(b"image"))
    return buffer.getvalue()


@pytest.mark.parametrize("cut", ["in a member", "between members", "in a header", "sparse"])
def test_what_a_damaged_shard_lost_is_a_row(settings, shard, tmp_path, cut):
    whole = shard(0, 5)
    start = whole.index(b"set/0003.png")
    data = {
        "in a member": whole[: start + 512 + 100],
        "between members": whole[:start],
        "in a header": whole[: start + 40] + b"\xff" * 400 + whole[start + 440 :],
        "sparse": whole[:start] + _pack_sparse(),
    }[cut]
    (tmp_path / "a.tar").write_bytes(data)
    rows = batch_jobs.run(settings(tmp_path / "a.tar"))
    assert [row["image"] for row in rows[:3]] == [f"set/{n:04d}.png" for n in range(3)]
    assert [row["error"] for row in rows[:3]] == [None] * 3
    assert [row["image"] for row in rows[3:]] == ["a.tar"]
    assert "a.tar is" in rows[3]["error"]
    assert "the rest is lost" in rows[3]["error"]


@pytest.mark.parametrize("kind", ["bytes", "url", "struct"])
def test_tables_of_bytes_and_of_urls(settings, pictures, draw, tmp_path, kind):
    folder = pictures(5, broken=())
    paths = [f"{'more/' if n % 2 else ''}{n:04d}.png" for n in range(5)]
    values = {
        "bytes": [*map(draw, range(5)), None, b"nothing"],
        "url": [*paths[:4], f"file://{folder / paths[4]}", "none.png", "../out.png"],
        "struct": [{"bytes": draw(n), "path": f"{n}.png"} for n in range(5)]
        + [None, {"bytes": b"x", "path": None}],
    }[kind]
    boxes = [[[10, 10, 50, 80]], [], None, [[0, 0, 5, 5]] * 2, [[3, 3, -4, 4]], None, None]
    table = pa.table({"photo": values, "people": pa.array(boxes, pa.list_(pa.list_(pa.float32())))})
    pa.parquet.write_table(table, folder / "a.parquet", row_group_size=4)
    for file in [folder / "notes.txt", *(folder.rglob("*.png") if kind != "url" else ())]:
        file.unlink()
    options = {"image_column": "photo", "boxes_column": "people"}
    rows = batch_jobs.run(settings(folder / "a.parquet", **options))
    assert [row["index"] for row in rows] == list(range(7))
    assert {row["file"] for row in rows} == {"a.parquet"}
    assert [len(row["people"]) for row in rows] == [1, 0, 0, 2, 0, 0, 0]
    assert [row["error"] is None for row in rows] == [True] * 4 + [False] * 3
    assert "got the box" in rows[4]["error"]
    names = {"bytes": "a.parquet#1", "url": "more/0001.png", "struct": "1.png"}
    assert rows[1]["image"] == names[kind]


def test_the_rows_of_a_damaged_table_say_so(settings, draw, tmp_path):
    table, file = pa.table({"image": [*map(draw, range(4))]}), tmp_path / "a.parquet"
    pa.parquet.write_table(table, file, row_group_size=2)
    data = bytearray(file.read_bytes())
    data[4:40] = b"\xff" * 36  # the head of the first row group's page
    file.write_bytes(data)
    rows = batch_jobs.run(settings(file))
    assert [row["error"] is None for row in rows] == [False, False, True, True]
    assert rows[1]["error"].startswith("a.parquet cannot be read: ")


_OF_THIS_MACHINE = (
    *("/etc/hostname", "file:///etc/hostname", "local:///etc/hostname"),
    *("simplecache::file:///etc/hostname", "zip://a::/etc/hostname"),
)


def test_an_object_store_and_its_table_of_urls(settings, draw, pack):
    store = open_place("memory://bucket")
    store.write("one.png", draw(1))
    store.write("two.tar", pack([("a.png", draw(2))]))
    sink = pa.BufferOutputStream()
    urls = ["memory://bucket/one.png", "one.png", *_OF_THIS_MACHINE]
    pa.parquet.write_table(pa.table({"image": urls}), sink)
    store.write("three.parquet", sink.getvalue().to_pybytes())
    for source, images in (("one.png", 1), ("*.tar", 1), ("three.parquet", len(urls))):
        about = settings(f"memory://bucket/{source}", output=f"memory://results/{source.strip('*.')}")
        engines_run = partial(engines.run_in_threads, concurrency=1)
        batch_jobs.run_batch(about, engines_run)
        place, rows = open_place(about.output), []
        for entry in place.list_files():
            if entry.name.startswith("part-"):
                with place.open(entry.name) as file:
                    rows += pa.parquet.read_table(file).to_pylist()
        assert len(rows) == images
        assert [row["error"] for row in rows[:2]] == [None] * min(images, 2)
    assert all("is a local path, but" in row["error"] for row in rows[2:5])
    assert all("is a chain of stores" in row["error"] for row in rows[5:])
