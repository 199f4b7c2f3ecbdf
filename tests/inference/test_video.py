"""Videos: colours, people in their tracks, and files that stay usable."""

import contextlib
import json
import resource
import signal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from video_clips import read_clip, read_times, write_clip

from ppose.errors import DataError
from ppose.formats.track_files import read_mot, read_track_table
from ppose.inference import video_writing
from ppose.inference.detectors import Detections
from ppose.inference.predictor import Predictor
from ppose.inference.tracking import Finish, Tracker
from ppose.inference.video import process_video
from ppose.inference.video_files import VideoFile
from ppose.inference.video_writing import writing_lines, writing_video

COUNT, FPS = 20, 10


def where(frame):
    """A person that walks to the right: red, blue."""
    return (40 + 6 * frame, 50), (50 + 6 * frame, 120)


@pytest.fixture(scope="module")
def walk(tmp_path_factory, draw_person):
    """A video of a grey room; somebody walks through, but is not there in frames 8 to 10."""
    path = tmp_path_factory.mktemp("video") / "walk.mp4"
    images = [np.full((180, 240, 3), 90, np.uint8) for _ in range(COUNT)]
    for frame in {*range(COUNT)} - {8, 9, 10}:
        draw_person(images[frame], *where(frame))
    write_clip(path, images, FPS)
    return path


def find_reddish(image):
    """A detector for these pictures: a box around what is not grey."""
    mask = (np.ptp(image.astype(int), axis=2) > 80).nonzero()
    if not len(mask[0]):
        return np.zeros((0, 4))
    (top, left), (bottom, right) = np.min(mask, axis=1), np.max(mask, axis=1)
    return np.array([[left - 10, top - 10, right + 10, bottom + 10]], np.float64)


def run(model_dir, walk, output, find_people, *, hint="latency", **changes):
    predictor = Predictor.from_dir(model_dir, runtime="onnxruntime", hint=hint, cpu_threads=2)
    tracker = Tracker(predictor.keypoint_set.sigmas, similarity="iou")
    asked = {"threshold": 0.2, "save_json": True, **changes}
    return process_video(VideoFile(walk), predictor, find_people, tracker, output, **asked)


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_frames_are_rgb_in_order(walk):
    frames = VideoFile(walk)
    assert (frames.rate, frames.size) == (FPS, (240, 180))
    seen = read_clip(walk)
    assert [time for time, _ in seen] == [index / FPS for index in range(COUNT)]
    for index in (0, 19):
        (x, y), (u, v) = where(index)
        red, blue = seen[index][1][y, x].astype(int), seen[index][1][v, u].astype(int)
        assert red[0] > red[2] + 100
        assert blue[2] > blue[0] + 100


@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_people_are_followed(model_dir, walk, tmp_path, hint):
    output = tmp_path / "out" / "walk.mp4"
    assert run(model_dir, walk, output, find_reddish, hint=hint) == COUNT
    lines = read_lines(output.with_suffix(".jsonl"))
    assert [line["frame"] for line in lines] == list(range(COUNT))
    assert [line["time"] for line in lines] == pytest.approx([i / FPS for i in range(COUNT)])
    for frame, line in enumerate(lines):
        if frame in (8, 9, 10):
            assert line["people"] == []
            continue
        (person,) = line["people"]
        assert person["track_id"] == 1
        points = np.array(person["keypoints"]).reshape(2, 3)
        np.testing.assert_allclose(points[:, :2], where(frame), atol=4)
        assert person["score"] == pytest.approx(points[:, 2].mean())
    written = read_clip(output)
    assert len(written) == COUNT
    assert written[0][1].shape == (180, 240, 3)
    original = read_clip(walk)[0][1].astype(int)
    drawn = written[0][1].astype(int)
    assert np.abs(drawn - original)[:, 30:60].max() > 60  # the person's limb
    assert np.abs(drawn - original)[:, 120:].max() < 12  # the rest of the room, after a video codec
    assert sorted(path.name for path in output.parent.iterdir()) == ["walk.jsonl", "walk.mp4"]


def test_without_a_detector_a_frame_is_one_person(model_dir, walk, tmp_path):
    run(model_dir, walk, tmp_path / "a.mp4", None, save_json=False)
    assert len(read_times(tmp_path / "a.mp4")) == COUNT
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("smooth", ["savgol", "rts", None])
def test_whole_tracks_are_finished(model_dir, walk, tmp_path, smooth):
    """The person who is missing in frames 8 to 10 is put in between, in all files and in the picture."""
    reopened = []

    def reopen():
        reopened.append(1)
        return VideoFile(walk)

    asked = {"finish": Finish(smooth, 0.5), "reopen": reopen, "save_tracks": "csv"}
    assert run(model_dir, walk, tmp_path / "a.mp4", find_reddish, **asked) == COUNT
    assert reopened == [1]
    lines = read_lines(tmp_path / "a.jsonl")
    table = read_track_table(tmp_path / "a.tracks.csv")
    assert table.names == ("red", "blue")
    assert table.frames.tolist() == list(range(COUNT))
    for frame, line in enumerate(lines):
        (person,) = line["people"]
        points = np.array(person["keypoints"]).reshape(2, 3)
        np.testing.assert_allclose(points[:, :2], where(frame), atol=4)
        assert (person["track_id"], person.get("is_filled", False)) == (1, frame in (8, 9, 10))
        assert table.is_filled[frame] == (frame in (8, 9, 10))
        np.testing.assert_array_equal(table.keypoints[frame], points)
    drawn = [image.astype(int) for _, image in read_clip(tmp_path / "a.mp4")]
    empty = read_clip(walk)[9][1].astype(int)
    assert np.abs(drawn[9] - empty).max() > 60


class Scoring:
    """The same with scores, which are 0.2 for three frames; somebody of 0.3 stands elsewhere."""

    def __init__(self):
        self.calls = 0

    def __call__(self, image):
        return self.detect([image])[0].bboxes_xyxy

    def detect(self, images):
        (image,), index = images, self.calls
        self.calls += 1
        boxes = np.concatenate([find_reddish(image), [[200.0, 100.0, 230.0, 170.0]]])
        scores = np.array([0.2 if index in (14, 15, 16) else 0.9] * (len(boxes) - 1) + [0.3])
        return [Detections(boxes, scores, np.zeros(len(boxes), int))]


def test_boxes_of_low_scores_go_on_with_tracks_and_begin_none(model_dir, walk, tmp_path):
    assert run(model_dir, walk, tmp_path / "a.mp4", Scoring()) == COUNT
    for frame, line in enumerate(read_lines(tmp_path / "a.jsonl")):
        assert [p["track_id"] for p in line["people"]] == ([] if frame in (8, 9, 10) else [1]), frame


def test_tracks_for_judges(model_dir, walk, tmp_path):
    run(model_dir, walk, tmp_path / "a.mp4", find_reddish, save_tracks="mot")
    tracks, lines = read_mot(tmp_path / "a.txt"), read_lines(tmp_path / "a.jsonl")
    there = [line for line in lines if line["people"]]
    assert tracks.frames.tolist() == [line["frame"] for line in there]
    assert tracks.tracks.tolist() == [1] * len(there)
    boxes = [line["people"][0]["bbox"] for line in there]
    np.testing.assert_allclose(tracks.bboxes_xywh, boxes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.mp4", "a.txt"]


@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_what_was_done_before_an_error_is_kept(model_dir, walk, tmp_path, hint):
    def fail_in_frame_5(image):
        boxes = find_reddish(image)
        if len(boxes) and boxes[0, 0] > where(5)[0][0] - 21:  # the left end of a disc, and 10 pixels
            raise RuntimeError
        return boxes

    with pytest.raises(RuntimeError):
        run(model_dir, walk, tmp_path / "a.mp4", fail_in_frame_5, hint=hint)
    assert len(read_times(tmp_path / "a.mp4")) == 5
    assert len(read_lines(tmp_path / "a.jsonl")) == 5


@contextlib.contextmanager
def files_limited_to(size):
    """No file of this process can be larger, which is like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("room", "is_kept"), [(500, False), (30_000, True)])
def test_a_video_that_cannot_be_written_whole(tmp_path, room, is_kept):
    """What is there of it can be played, or it goes."""
    images = np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), np.uint8)
    with files_limited_to(room), pytest.raises(OSError, match="File too large") as caught:
        write_clip(tmp_path / "a.mp4", images)
    assert caught.value.filename == str(tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"] * is_kept
    assert not is_kept or 0 < len(read_times(tmp_path / "a.mp4")) < 60


def test_a_video_that_cannot_be_begun_leaves_the_earlier_one(tmp_path):
    file = tmp_path / "a.mp4"
    file.write_bytes(b"earlier")
    options = {"rate": Fraction(10), "time_base": Fraction(1, 90000)}
    with pytest.raises(DataError, match=r"a\.mp4"), writing_video(file, (100_000, 2), **options):
        pytest.fail("has begun")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"earlier"]


def test_lines_that_cannot_all_be_written_are_whole(tmp_path):
    path = tmp_path / "a.jsonl"

    def write_all():
        with writing_lines(path) as lines:
            lines.writelines(["x" * 149 + "\n"] * 10)

    with files_limited_to(1000), pytest.raises(OSError, match="File too large") as caught:
        write_all()
    assert caught.value.filename == str(path)
    assert path.read_text() == ("x" * 149 + "\n") * 6


def test_a_disk_that_fills_up_leaves_a_playable_video(model_dir, walk, tmp_path, monkeypatch):
    free = iter([1 << 30] * 7 + [1 << 20] * COUNT)
    usage = lambda folder: SimpleNamespace(free=next(free))  # noqa: E731
    monkeypatch.setattr(video_writing.shutil, "disk_usage", usage)
    with pytest.raises(OSError, match="No space left on device") as caught:
        run(model_dir, walk, tmp_path / "a.mp4", find_reddish)
    assert caught.value.filename == str(tmp_path / "a.mp4")
    assert len(read_times(tmp_path / "a.mp4")) == len(read_lines(tmp_path / "a.jsonl")) == 7


def test_no_frame_is_no_video(tmp_path):
    with writing_video(tmp_path / "a.mp4", (32, 32), rate=Fraction(10), time_base=Fraction(1, 10)):
        pass
    assert not list(tmp_path.iterdir())


_KILLED = """
import os, signal, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from ppose.inference.video_writing import to_picture, writing_video

images = np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3), np.uint8)
with writing_video(Path(sys.argv[1]), (64, 48), rate=Fraction(10), time_base=Fraction(1, 1000)) as video:
    for index in range(100):
        video.write(to_picture(images[index % 8]), index / 10)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_is_written_survives_kill_9(run_script, tmp_path):
    """But for what the encoder still looks at, and the last second."""
    assert run_script("-c", _KILLED, tmp_path / "a.mp4").returncode == -signal.SIGKILL
    (part,) = tmp_path.iterdir()
    assert part.name.startswith("a.")
    assert part.name.endswith(".part.mp4")
    times = read_times(part)
    assert times == [index / 10 for index in range(len(times))]
    assert len(times) >= 65


def test_lines_replace_an_older_file(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("old\n")
    with writing_lines(path) as lines:
        lines.write("new\n")
        assert path.read_text() == "old\n"
    assert path.read_text() == "new\n"
