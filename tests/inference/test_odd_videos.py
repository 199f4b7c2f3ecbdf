"""Videos as cameras, editors and broadcasters make them: mirrored, with covers, gaps and changing sizes."""

import gc
import itertools
import json
import struct
from fractions import Fraction
from functools import partial

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from video_clips import read_clip, read_sound, read_times, write_clip

from ppose.commands.predict import _rate
from ppose.errors import DataError
from ppose.inference.predictor import Predictor
from ppose.inference.tracking import Finish, Tracker
from ppose.inference.video import process_video
from ppose.inference.video_files import VideoFile
from ppose.inference.video_frames import Clip, Fitting, Frame
from ppose.inference.video_sources import name_source, open_frames
from ppose.inference.video_writing import to_picture, writing_video

SIZE = (64, 48)


def levels(count=20, size=SIZE):
    """Grey images, each a bit lighter than the one before."""
    return [np.full((size[1], size[0], 3), 10 * level % 256, np.uint8) for level in range(count)]


def encode(path, streams, *, codec="libx264", options=None, prepare=lambda stream: None):
    """A file with a video stream, 10 frames a second, of each list of images; all at the same times."""
    with av.open(str(path), "w") as container:
        videos = [container.add_stream(codec, rate=10, options=options or {}) for _ in streams]
        for video, images in zip(videos, streams, strict=True):
            video.width, video.height, video.pix_fmt = *images[0].shape[1::-1], "yuv420p"
            prepare(video)
        for index, images in enumerate(zip(*streams, strict=True)):
            for video, image in zip(videos, images, strict=True):
                frame = av.VideoFrame.from_ndarray(image).reformat(format="yuv420p")
                frame.pts = index
                container.mux(video.encode(frame))
        for video in videos:
            container.mux(video.encode(None))


def read_all(path, clip=None):
    """The times of a file's frames; then warns of what was odd."""
    frames = VideoFile(path, clip)
    times = [frame.time for frame in frames]
    frames.close()
    frames.check_whole()
    return times


TURNS = [turn for turn in itertools.product((-1, 0, 1), repeat=4) if np.abs(turn).sum() == 2]
TURNS = [turn for turn in TURNS if np.linalg.det(np.reshape(turn, (2, 2)))]


@pytest.mark.parametrize("turn", TURNS)
def test_mirrored_videos_are_shown_as_players_do(tmp_path, turn):
    """All turns and mirrorings: pixel (x, y) goes to (a x + c y, b x + d y), ISO/IEC 14496-12 8.3.2."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:16, :32] = 255
    write_clip(tmp_path / "a.mp4", [image])
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    identity = struct.pack(">5i", 1 << 16, 0, 0, 0, 1 << 16)
    place = data.index(identity, data.rindex(b"tkhd"))
    a, b, c, d = turn
    data[place : place + len(identity)] = struct.pack(">5i", *(value << 16 for value in (a, b, 0, c, d)))
    (tmp_path / "a.mp4").write_bytes(data)
    y, x = np.mgrid[:48, :64]
    right, down = a * x + c * y, b * x + d * y
    expected = np.zeros((64, 48) if a == 0 else (48, 64))
    expected[down - down.min(), right - right.min()] = image[..., 0]
    np.testing.assert_allclose(read_clip(tmp_path / "a.mp4")[0][1][..., 0].astype(int), expected, atol=8)


def test_frames_are_freed_as_they_are_read(tmp_path):
    """Without Python's garbage collection, which sees few objects, although frames are large."""
    write_clip(tmp_path / "in.mp4", levels(60))
    frames = VideoFile(tmp_path / "in.mp4")
    gc.collect()
    gc.disable()
    try:
        count = sum(frame.read() is not None for frame in frames)
        kept = sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())
    finally:
        gc.enable()
        frames.close()
    assert count == 60
    assert kept < 10


def test_a_cover_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mp3"), "w") as container:
        sound = container.add_stream("libmp3lame", rate=48000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = (
            64,
            48,
            "yuvj420p",
            Disposition.attached_pic,
        )
        picture = av.VideoFrame(64, 48, "yuvj420p")
        picture.pts = 0
        container.mux([*cover.encode(picture), *cover.encode(None)])
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        container.mux([*sound.encode(frame), *sound.encode(None)])
    with pytest.raises(DataError, match=r"a cover picture, but no video, in .*a\.mp3"):
        VideoFile(tmp_path / "a.mp3")


def test_other_streams_are_counted(tmp_path, caplog):
    encode(tmp_path / "a.mkv", [levels(3), levels(3), levels(3)])
    assert len(read_all(tmp_path / "a.mkv")) == 3
    assert "a.mkv: 2 other video streams were left out" in caplog.text


def test_interlaced_frames_are_counted(tmp_path, caplog):
    encode(tmp_path / "a.ts", [levels(4)], codec="mpeg2video", options={"flags": "+ildct+ilme"})
    assert len(read_all(tmp_path / "a.ts")) == 4
    assert "a.ts: 4 frames are interlaced" in caplog.text


def test_times_that_are_guessed_are_counted(tmp_path, caplog):
    """Two recordings one behind the other: the times of the second begin anew."""
    encode(tmp_path / "a.ts", [levels(5)])
    data = (tmp_path / "a.ts").read_bytes()
    (tmp_path / "a.ts").write_bytes(data + data)
    np.testing.assert_allclose(read_all(tmp_path / "a.ts"), np.arange(10) / 10)
    assert "a.ts: 5 frames without a time after the last one's, placed at 10 per second" in caplog.text


def test_a_recording_that_starts_between_keyframes_says_so(tmp_path, caplog):
    encode(tmp_path / "a.ts", [levels(40)], options={"x264-params": "keyint=20:scenecut=0"})
    data = (tmp_path / "a.ts").read_bytes()
    (tmp_path / "a.ts").write_bytes(data[len(data) // 188 // 4 * 188 :])
    times = read_all(tmp_path / "a.ts")
    assert times[0] > 0.3
    assert f"a.ts: nothing before {times[0]:.1f} s could be decoded" in caplog.text


def test_a_part_of_a_file_without_times(tmp_path):
    encode(tmp_path / "a.h264", [levels()])
    seen = read_clip(tmp_path / "a.h264", Clip(start=0.4))
    assert [time for time, _ in seen] == pytest.approx([index / 25 for index in range(10, 20)])
    assert [round(float(image.mean()), -1) for _, image in seen] == [10 * index for index in range(10, 20)]
    with pytest.raises(DataError, match=r"no frame from 3 s on: it has 0\.8 s"):
        VideoFile(tmp_path / "a.h264", Clip(start=3))


@pytest.mark.parametrize("end", [8.0, 99.0])
def test_a_part_that_was_cut_off(tmp_path, end):
    encode(tmp_path / "a.mkv", [levels(100)], codec="ffv1")
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[: len(data) // 2])
    assert read_all(tmp_path / "a.mkv", Clip(end=2.0))[-1] == pytest.approx(1.9)
    with pytest.raises(DataError, match=rf"cut short: .* of {min(end, 10.0)} s, could be read"):
        read_all(tmp_path / "a.mkv", Clip(end=end))


@pytest.mark.parametrize("is_turned", [False, True])
def test_pixels_that_are_not_square_stay_so(tmp_path, is_turned):
    encode(
        tmp_path / "a.mp4", [levels(2)], prepare=lambda v: setattr(v, "sample_aspect_ratio", Fraction(4, 3))
    )
    if is_turned:
        data = (tmp_path / "a.mp4").read_bytes()
        identity, quarter = (
            struct.pack(">5i", 1 << 16, 0, 0, 0, 1 << 16),
            struct.pack(">5i", 0, 1 << 16, 0, -1 << 16, 0),
        )
        place = data.index(identity, data.rindex(b"tkhd"))
        (tmp_path / "a.mp4").write_bytes(data[:place] + quarter + data[place + len(quarter) :])
    frames = VideoFile(tmp_path / "a.mp4")
    like = {"rate": frames.rate, "time_base": frames.time_base, "pixel_aspect": frames.pixel_aspect}
    with writing_video(tmp_path / "b.mp4", frames.size, **like) as video:
        for frame in frames:
            video.write(to_picture(frame.read()), frame.time)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == (
            Fraction(3, 4) if is_turned else Fraction(4, 3)
        )


def test_frames_of_another_size_are_fitted():
    fitting = Fitting((64, 48))
    same, other = np.full((48, 64, 3), 7, np.uint8), np.full((96, 64, 3), 200, np.uint8)
    assert fitting.read(Frame(0.0, lambda: same)) is same
    assert fitting.others == set()
    fitted = fitting.read(Frame(0.1, lambda: other))
    assert fitted.shape == (48, 64, 3)
    assert fitting.others == {0.1}
    assert (fitted[:, 16:48] == 200).all()
    assert not fitted[:, :16].any()
    assert not fitted[:, 48:].any()


def test_a_video_of_two_sizes_has_one_kind_of_pixels(model_dir, tmp_path, caplog):
    for number, size in enumerate([SIZE, SIZE, (96, 96), SIZE]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), levels(1, size)[0])
    predictor = Predictor.from_dir(model_dir, runtime="onnxruntime", cpu_threads=1)
    output = tmp_path / "out" / "a.mp4"
    reopen = partial(open_frames, tmp_path / "%d.png", Clip())
    tracker = Tracker(predictor.keypoint_set.sigmas)
    asked = {"threshold": 0.2, "save_json": True, "finish": Finish("rts"), "reopen": reopen}
    process_video(reopen(), predictor, None, tracker, output, **asked)
    lines = [json.loads(line) for line in output.with_suffix(".jsonl").read_text().splitlines()]
    assert [person["bbox"] for line in lines for person in line["people"]] == [[0, 0, *SIZE]] * 4
    assert {image.shape for _, image in read_clip(output)} == {(48, 64, 3)}
    assert "a.mp4: 1 frames of other sizes were fitted into 64x48 pixels" in caplog.text


def test_a_file_may_be_called_as_a_pattern(tmp_path):
    write_clip(tmp_path / "100%d.mp4", levels(2))
    frames = open_frames(tmp_path / "100%d.mp4", Clip())
    assert [frame.time for frame in frames] == [0, 0.1]
    assert name_source(tmp_path / "100%d.mp4") == "100%d"


def test_missing_numbers_are_counted(tmp_path, caplog):
    for number in (1, 2, 5, 9):
        cv2.imwrite(str(tmp_path / f"{number}.png"), levels(1)[0])
    frames = open_frames(tmp_path / "%d.png", Clip())
    assert len(list(frames)) == 4
    frames.check_whole()
    assert "%d.png: 5 numbers in between have no image" in caplog.text


@pytest.mark.parametrize("ending", ["avi", "mkv"])
def test_plain_samples_of_cameras_are_copied(tmp_path, ending):
    """These containers do not name their channels; MP4 has to."""
    path = tmp_path / f"a.{ending}"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mjpeg", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="stereo")
        picture = av.VideoFrame(64, 48, "yuvj420p")
        picture.pts = 0
        container.mux([*video.encode(picture), *video.encode(None)])
        samples = np.arange(1600, dtype=np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
        frame.sample_rate = 8000
        container.mux([*sound.encode(frame), *sound.encode(None)])
    frames = VideoFile(path)
    like = {"rate": frames.rate, "time_base": frames.time_base, "sound": frames.sound}
    with writing_video(tmp_path / "b.mp4", frames.size, **like) as output:
        for frame in frames:
            output.write(to_picture(frame.read()), frame.time, frame.sound)
        output.write_sound(frames.rest_of_sound())
    assert b"".join(data for _, data in read_sound(tmp_path / "b.mp4")) == samples.tobytes()


@pytest.mark.parametrize(
    ("codec", "rate"),
    [("mpeg4", "120000/1001"), ("av1", "1000"), ("h264", "59.94005994005994"), ("h264", "1/3600")],
)
def test_rates_of_all_kinds_are_written(tmp_path, codec, rate):
    asked = _rate(rate)
    assert float(asked) == pytest.approx(float(Fraction(rate)))
    times = [float(index / asked) for index in range(3)]
    with writing_video(tmp_path / "a.mp4", SIZE, rate=asked, time_base=1 / asked, codec=codec) as video:
        for time, image in zip(times, levels(3), strict=True):
            video.write(to_picture(image), time)
    np.testing.assert_allclose(read_times(tmp_path / "a.mp4"), times, atol=2e-5)


@pytest.mark.parametrize(("clock", "gap"), [(Fraction(1, 90000), 25000.0), (Fraction(1, 10**9), 300.0)])
def test_frames_too_far_apart_for_mp4_are_an_error(tmp_path, clock, gap):
    """FFmpeg would write other times."""

    def write(times):
        with writing_video(tmp_path / "a.mp4", SIZE, rate=Fraction(10), time_base=clock) as video:
            for time, image in zip(times, levels(), strict=False):
                video.write(to_picture(image), time)

    write([0, 0.1, 0.1 + gap / 2, 0.2 + gap / 2])
    np.testing.assert_allclose(
        read_times(tmp_path / "a.mp4"), [0, 0.1, 0.1 + gap / 2, 0.2 + gap / 2], atol=1e-6
    )
    with pytest.raises(DataError, match=rf"a.mp4 ends at 0.1 s: MP4 cannot hold frames {gap:.0f} s apart"):
        write([0, 0.1, 0.1 + gap])
    assert read_times(tmp_path / "a.mp4") == [0, 0.1]
