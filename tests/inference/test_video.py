"""Videos: colours, people in their tracks, and files that stay usable."""

import contextlib
import json
import resource
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from ppose.errors import DataError, DeviceError
from ppose.formats.track_files import read_mot, read_track_table
from ppose.inference import video_files
from ppose.inference.detectors import Detections
from ppose.inference.predictor import Predictor
from ppose.inference.tracking import Finish, Tracker
from ppose.inference.video import process_video
from ppose.inference.video_files import Frames, writing_lines, writing_video

COUNT, FPS = 20, 10


def where(frame):
    """A person that walks to the right: red, blue."""
    return (40 + 6 * frame, 50), (50 + 6 * frame, 120)


@pytest.fixture(scope="module")
def walk(tmp_path_factory, draw_person):
    """A video of a grey room; somebody walks through, but is not there in frames 8 to 10."""
    path = tmp_path_factory.mktemp("video") / "walk.mp4"
    with writing_video(path, FPS, (240, 180)) as video:
        for frame in range(COUNT):
            image = np.full((180, 240, 3), 90, np.uint8)
            if frame not in (8, 9, 10):
                draw_person(image, *where(frame))
            video.write(image)
    return path


def find_reddish(image):
    """A detector for these pictures: a box around what is not grey."""
    mask = (np.ptp(image.astype(int), axis=2) > 80).nonzero()
    if not len(mask[0]):
        return np.zeros((0, 4))
    (top, left), (bottom, right) = np.min(mask, axis=1), np.max(mask, axis=1)
    return np.array([[left - 10, top - 10, right + 10, bottom + 10]], np.float64)


def run(model_dir, walk, output, find_people, **changes):
    predictor = Predictor.from_dir(model_dir, runtime="onnxruntime", cpu_threads=1)
    tracker = Tracker(predictor.keypoint_set.sigmas, similarity=changes.pop("similarity", "iou"))
    asked = {"threshold": 0.2, "save_json": True, "frames_at_once": 8, **changes}
    return process_video(Frames(walk), predictor, find_people, tracker, output, **asked)


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_frames_are_rgb_in_order(walk):
    frames = Frames(walk)
    assert (frames.fps, frames.size) == (FPS, (240, 180))
    seen = list(frames)
    np.testing.assert_allclose([time for time, _ in seen], np.arange(COUNT) / FPS)
    for index in (0, 19):
        (x, y), (u, v) = where(index)
        red, blue = seen[index][1][y, x].astype(int), seen[index][1][v, u].astype(int)
        assert red[0] > red[2] + 100
        assert blue[2] > blue[0] + 100


@pytest.mark.parametrize("frames_at_once", [1, 8])
def test_people_are_followed(model_dir, walk, tmp_path, frames_at_once):
    output = tmp_path / "out" / "walk.mp4"
    assert run(model_dir, walk, output, find_reddish, frames_at_once=frames_at_once) == COUNT
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
    written = list(Frames(output))
    assert len(written) == COUNT
    assert written[0][1].shape == (180, 240, 3)
    original = next(iter(Frames(walk)))[1].astype(int)
    drawn = written[0][1].astype(int)
    assert np.abs(drawn - original)[:, 30:60].max() > 60  # the person's limb
    assert np.abs(drawn - original)[:, 120:].max() < 12  # the rest of the room, after a video codec
    assert not list(output.parent.glob(".*"))


def test_without_a_detector_a_frame_is_one_person(model_dir, walk, tmp_path):
    run(model_dir, walk, tmp_path / "a.mp4", None, save_json=False)
    assert len(list(Frames(tmp_path / "a.mp4"))) == COUNT
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("smooth", ["savgol", "rts", None])
def test_whole_tracks_are_finished(model_dir, walk, tmp_path, smooth):
    """The person who is missing in frames 8 to 10 is put in between, in all files and in the picture."""
    reopened = []

    def reopen():
        reopened.append(1)
        return Frames(walk)

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
    drawn = [image.astype(int) for _, image in Frames(tmp_path / "a.mp4")]
    empty = next(image for index, (_, image) in enumerate(Frames(walk)) if index == 9).astype(int)
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


def test_what_was_done_before_an_error_is_kept(model_dir, walk, tmp_path):
    calls = []

    def fail_in_frame_5(image):
        calls.append(image)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return find_reddish(image)

    with pytest.raises(KeyboardInterrupt):
        run(model_dir, walk, tmp_path / "a.mp4", fail_in_frame_5, frames_at_once=1)
    assert len(list(Frames(tmp_path / "a.mp4"))) == 5
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


def test_a_video_that_cannot_be_written_whole_goes(model_dir, walk, tmp_path):
    with files_limited_to(4000), pytest.raises(OSError, match="could not be written whole") as caught:
        run(model_dir, walk, tmp_path / "a.mp4", find_reddish, save_json=False)
    assert caught.value.filename == str(tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


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
    monkeypatch.setattr(video_files.shutil, "disk_usage", usage)
    with pytest.raises(OSError, match="No space left on device") as caught:
        run(model_dir, walk, tmp_path / "a.mp4", find_reddish)
    assert caught.value.filename == str(tmp_path / "a.mp4")
    assert len(list(Frames(tmp_path / "a.mp4"))) == len(read_lines(tmp_path / "a.jsonl")) == 7


def test_no_frame_is_no_video(tmp_path):
    with writing_video(tmp_path / "a.mp4", 10, (32, 32)):
        pass
    assert not list(tmp_path.iterdir())


def test_what_is_no_video(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("this is no video " * 100)
    for name, expected in (
        ("none", "video not found"),
        ("empty", r"\(0 bytes\)"),
        ("text", "not a readable"),
    ):
        with pytest.raises(DataError, match=expected):
            Frames(tmp_path / f"{name}.mp4")
    with pytest.raises(DeviceError, match="camera 97 gives no picture"):
        Frames(97)


def test_a_cut_off_video(walk, tmp_path):
    """Its index is at the end of the file, so there is nothing to be had."""
    data = walk.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[:-500])
    with pytest.raises(
        DataError, match=f"not a readable video.*{len(data) - 500} bytes of {len(data)}: it was"
    ):
        Frames(tmp_path / "cut.mp4")


def test_lines_replace_an_older_file(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("old\n")
    with writing_lines(path) as lines:
        lines.write("new\n")
        assert path.read_text() == "old\n"
    assert path.read_text() == "new\n"


def assert_own_times(path, times):
    seen = list(Frames(path))
    np.testing.assert_allclose([time for time, _ in seen], times, atol=2e-3)


def test_frames_have_their_own_times(reference):
    """Of a camera that slows down; by the mean of 3.57 frames a second they would be 0, 0.28, 0.56 ..."""
    times = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert_own_times(reference / "cases" / "vfr_video" / "vfr.mp4", times)


def test_frames_that_are_not_evenly_apart(tmp_path):
    """An MP4 whose table of durations (stts, ISO/IEC 14496-12 8.6.1.2) is edited: ten frames, two paces."""
    path = tmp_path / "a.mp4"
    with writing_video(path, 10, (64, 48)) as video:
        for level in range(10):
            video.write(np.full((48, 64, 3), 20 * level, np.uint8))
    data = path.read_bytes().replace(b"edts", b"free")  # or its edit list ends the film after a second
    # Its only run, of 10 frames, becomes two. The table grows by 8 bytes, and so do the boxes around it.
    at = data.index(b"stts") - 4
    step = int.from_bytes(data[at + 20 : at + 24], "big")
    runs = b"".join(n.to_bytes(4, "big") for n in (6, step, 4, 10 * step))
    data = data[: at + 12] + (2).to_bytes(4, "big") + runs + data[at + 24 :]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):
        start = data.rindex(name, 0, at + 8) - 4
        size = int.from_bytes(data[start : start + 4], "big") + 8
        data = data[:start] + size.to_bytes(4, "big") + data[start + 4 :]
    path.write_bytes(data)
    assert_own_times(path, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.6, 2.6, 3.6])


def test_times_of_a_file_without_any_are_counted(tmp_path):
    """Motion JPEG without a container."""
    frames = [cv2.imencode(".jpg", np.full((48, 64, 3), 60 * i, np.uint8))[1].tobytes() for i in range(4)]
    (tmp_path / "a.mjpeg").write_bytes(b"".join(frames))
    times = [time for time, _ in Frames(tmp_path / "a.mjpeg")]
    np.testing.assert_allclose(np.diff(times), 0.04)
