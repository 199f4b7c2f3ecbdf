"""Answers that are kept are the answers that were given, of the same image to the same question alone."""

import numpy as np
import paddle
import pytest

from ppose.distillation.teacher_cache import TeacherCache

KIND = ("teacher", "float32", "output")
SIZE = 2 * 3 * 2 * 4  # bytes of an answer


class Asked:
    """Gives twice the image, and remembers for how many it was asked."""

    def __init__(self):
        self.counts = []

    def __call__(self, image):
        self.counts.append(len(image))
        return {"output": image[:, :2] * 2 + 1 / 3}


@pytest.fixture
def images():
    return paddle.to_tensor(np.random.default_rng(0).standard_normal((5, 3, 3, 2)).astype(np.float32))


def look_up(cache, images, kind=KIND):
    asked = Asked()
    answer = cache.look_up(images, kind, asked)["output"]
    np.testing.assert_array_equal(answer.numpy(), (images[:, :2] * 2 + 1 / 3).numpy())
    return asked.counts


def test_who_is_known_is_not_asked_again(tmp_path, images):
    cache = TeacherCache(tmp_path, limit=10**6)
    assert look_up(cache, images[:3]) == [3]
    assert look_up(cache, images[[4, 1, 0, 3]]) == [2]
    assert cache.hits == 2
    later = TeacherCache(tmp_path, limit=10**6)
    assert look_up(later, images) == []
    # Another teacher, number format or map; another image by its last bit.
    assert look_up(later, images, ("other", "float32", "output")) == [5]
    assert look_up(later, images, ("teacher", "bfloat16", "output")) == [5]
    array = images.numpy()
    array[2, 0, 0, 0] = np.nextafter(array[2, 0, 0, 0], np.float32(9))
    assert look_up(later, paddle.to_tensor(array)) == [1]
    # The same bytes in another shape.
    assert look_up(later, images.reshape([5, 3, 2, 3])) == [5]


@pytest.mark.parametrize("damage", ["half", "one byte", "empty", "text", "pickle"])
def test_a_damaged_file_is_made_again(tmp_path, images, damage):
    look_up(TeacherCache(tmp_path, limit=10**6), images)
    file = sorted(tmp_path.rglob("*.npz"))[2]
    whole = file.read_bytes()
    data = bytearray(whole)
    data[len(data) // 2] ^= 1
    broken = {
        "half": data[: len(data) // 2], "one byte": data, "empty": b"", "text": b"nothing",
        "pickle": b"\x80\x04N.",
    }  # fmt: skip
    file.write_bytes(broken[damage])
    assert look_up(TeacherCache(tmp_path, limit=10**6), images) == [1]
    assert look_up(TeacherCache(tmp_path, limit=10**6), images) == []
    assert len(file.read_bytes()) == len(whole)


def test_the_folder_has_a_limit(tmp_path, images):
    """Of two writers each has half of the room that is left."""
    cache = TeacherCache(tmp_path, limit=int(4.5 * SIZE), writers=2)
    assert look_up(cache, images) == [5]
    assert len(list(tmp_path.rglob("*.npz"))) == 2
    assert look_up(cache, images) == [3]
    full = TeacherCache(tmp_path, limit=2 * SIZE)
    assert look_up(full, images + 1) == [5]
    assert len(list(tmp_path.rglob("*.npz"))) == 2


def test_a_disk_that_cannot_be_written_ends_the_filling_alone(tmp_path, images, caplog):
    (tmp_path / "cache").write_text("a file in the way")
    cache = TeacherCache(tmp_path / "cache", limit=10**6)
    assert look_up(cache, images) == [5]
    assert look_up(cache, images) == [5]
    assert caplog.text.count("the teacher's cache is no longer filled") == 1


def test_a_useless_cache_is_reported_once(tmp_path, images, caplog):
    caplog.set_level("INFO")
    look_up(TeacherCache(tmp_path, limit=10**6), images - 1)  # of other data
    cache = TeacherCache(tmp_path, limit=10**6)
    for answers in ("0 of the 5", "5 of the 5"):  # the first epoch fills it
        look_up(cache, images)
        cache.end_epoch()
        assert f"the teacher's cache had {answers} images of this epoch" in caplog.text
    assert "no hit" not in caplog.text
    for shift in (1, 2, 3):
        look_up(cache, images + shift)
        cache.end_epoch()
    assert caplog.text.count("the teacher's cache had no hit in this epoch") == 1
    assert len(list(tmp_path.rglob("*.npz"))) == 15  # no longer filled
