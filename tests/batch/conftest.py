"""Images of discs in folders, tar shards and tables, and a job on them in this process."""

import io
import json
import tarfile

import cv2
import numpy as np
import pytest


@pytest.fixture
def draw(draw_person):
    """Function: the file of an image with one person, whose place says which image it is."""

    def _draw(number):
        image = np.full((100, 140, 3), 90, np.uint8)
        x = 30 + 5 * (number % 16)
        draw_person(image, (x, 30), (x, 70))
        return cv2.imencode(".png", image[..., ::-1])[1].tobytes()

    return _draw


@pytest.fixture
def pictures(tmp_path, draw):
    """Function: a folder of so many images, of which the ``broken`` are no images."""

    def _write(count=7, broken=(2,)):
        folder = tmp_path / "pictures"
        (folder / "more").mkdir(parents=True)
        for number in range(count):
            data = b"not an image" if number in broken else draw(number)
            (folder / ("more" if number % 2 else ".") / f"{number:04d}.png").write_bytes(data)
        (folder / "notes.txt").write_text("no image")
        return folder

    return _write


@pytest.fixture
def pack():
    """Function: the content of a tar file with these members."""

    def _pack(members):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, data in members:
                about = tarfile.TarInfo(name)
                about.size = len(data)
                tar.addfile(about, io.BytesIO(data))
        return buffer.getvalue()

    return _pack


@pytest.fixture
def shard(draw, pack):
    """Function: a shard of WebDataset's, with the people's boxes in its .json members."""

    def _make(first, count):
        members = []
        for number in range(first, first + count):
            boxes = [[10 + 5 * (number % 16), 10, 40, 80]] * (number % 3)
            members.append((f"set/{number:04d}.json", json.dumps({"boxes": boxes}).encode()))
            members.append((f"set/{number:04d}.png", draw(number)))
            members.append((f"set/{number:04d}.cls", b"1"))
        return pack(members)

    return _make


@pytest.fixture
def settings(tmp_path, model_dir):
    """Function: the settings of a job with the tests' exported model."""
    from batch_jobs import make_settings

    return lambda source, **options: make_settings(
        model_dir, source, **{"output": tmp_path / "out", **options}
    )
