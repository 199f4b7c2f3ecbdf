"""Videos that were cut off are reported; whole ones are not, though their number of frames may be wrong."""

import struct

import av
import cv2
import numpy as np
import pytest
from video_clips import add_sound, write_clip

from ppose.errors import DataError
from ppose.inference.video_files import VideoFile
from ppose.inference.video_frames import Clip

COUNT = 60
KINDS = [
    ("avi", "MJPG"),
    ("avi", "XVID"),
    ("mkv", "mp4v"),
    ("webm", "VP80"),
    ("mp4", "mp4v"),
    ("mov", "mp4v"),
]


def write(path, codec, fps=10, size=(64, 48)):
    pattern = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, size)
    for shift in range(COUNT):
        writer.write(np.roll(pattern, shift, axis=1))
    writer.release()


def with_index_first(data):
    """An MP4 file's boxes with moov before mdat, as for streaming, and the places of its frames moved."""
    boxes = {}
    while data:
        size = int.from_bytes(data[:4], "big")
        boxes[data[4:8]], data = data[:size], data[size:]
    moov = bytearray(boxes.pop(b"moov"))
    table = moov.index(b"stco") + 8
    (count,) = struct.unpack_from(">I", moov, table)
    places = np.frombuffer(moov, ">u4", count, table + 4) + len(moov)
    moov[table + 4 : table + 4 + 4 * count] = places.astype(">u4").tobytes()
    return boxes.pop(b"ftyp") + bytes(moov) + b"".join(boxes.values())


def read_all(path):
    frames = VideoFile(path)
    return sum(1 for _ in frames), frames


@pytest.mark.parametrize(("ending", "codec"), KINDS)
@pytest.mark.parametrize("fps", [10, 29.97])
def test_whole_files_are_silent(tmp_path, ending, codec, fps):
    path = tmp_path / f"a.{ending}"
    write(path, codec, fps)
    count, frames = read_all(path)
    assert count == COUNT
    frames.check_whole()


@pytest.mark.parametrize(("ending", "codec"), KINDS)
@pytest.mark.parametrize("part", [0.5, 0.85])
def test_files_that_were_cut_off(tmp_path, ending, codec, part):
    path = tmp_path / f"a.{ending}"
    write(path, codec)
    data = path.read_bytes()
    if ending in ("mp4", "mov"):
        data = with_index_first(data)
        path.write_bytes(data)
        assert read_all(path)[0] == COUNT
    path.write_bytes(data[: int(part * len(data))])
    count, frames = read_all(path)
    assert 0.3 * COUNT < count < COUNT
    with pytest.raises(DataError, match=rf"cut short: .*a.{ending} \({count} frames, .* of 6\.0 s, could be"):
        frames.check_whole()


def test_what_is_lost_behind_the_pictures_is_no_loss(tmp_path):
    """An AVI file's index is at its end."""
    write(tmp_path / "a.avi", "MJPG")
    data = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(data[: data.rindex(b"idx1")])
    count, frames = read_all(tmp_path / "a.avi")
    assert count == COUNT
    frames.check_whole()


def test_a_part_that_was_asked_for_is_not_cut_off(tmp_path):
    write(tmp_path / "a.mkv", "mp4v")
    frames = VideoFile(tmp_path / "a.mkv", Clip(start=1, end=2))
    assert sum(1 for _ in frames) == 10
    frames.check_whole()


def test_a_file_of_its_full_size_that_is_empty_from_somewhere_on(tmp_path):
    """As downloads are that reserve their room."""
    write(tmp_path / "a.mkv", "mp4v", 20)
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[: len(data) // 3] + bytes(len(data) - len(data) // 3))
    count, frames = read_all(tmp_path / "a.mkv")
    assert count < 0.4 * COUNT
    with pytest.raises(DataError, match=rf"cut short: .* \({count} frames, .* of 3\.0 s, could be read"):
        frames.check_whole()


def test_a_file_that_begins_late_is_whole(tmp_path):
    """Matroska's length counts from 0, whatever the first frame's time."""
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))
            frame.pts = 100 + index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    count, frames = read_all(tmp_path / "a.mkv")
    assert count == 20
    frames.check_whole()


def test_sound_that_goes_on_is_no_loss_of_pictures(tmp_path):
    write_clip(tmp_path / "a.mp4", [np.zeros((48, 64, 3), np.uint8)] * 10)
    add_sound(tmp_path / "b.mkv", tmp_path / "a.mp4", seconds=4)
    count, frames = read_all(tmp_path / "b.mkv")
    assert count == 10
    frames.check_whole()


def test_a_damaged_middle_does_not_cost_the_end(tmp_path, caplog):
    """What cannot be decoded is left out, and counted."""
    write(tmp_path / "a.mp4", "mp4v")
    data = bytearray(with_index_first((tmp_path / "a.mp4").read_bytes()))
    start = data.index(b"mdat")
    middle = start + (len(data) - start) // 2
    data[middle : middle + 3000] = bytes(3000)
    (tmp_path / "a.mp4").write_bytes(data)
    count, frames = read_all(tmp_path / "a.mp4")
    assert 0.7 * COUNT < count < COUNT
    frames.check_whole()
    assert f"a.mp4: {COUNT - count} damaged packets were skipped" in caplog.text
