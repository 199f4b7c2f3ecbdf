"""Frames of files, numbered images, cameras and streams: their times, turns, colours and sound."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from video_clips import add_sound, read_clip, read_sound, read_times, write_clip

from ppose.errors import ConfigError, DataError, DeviceError
from ppose.inference.video_files import VideoFile
from ppose.inference.video_frames import Clip
from ppose.inference.video_sources import name_source, open_frames
from ppose.inference.video_writing import to_picture, writing_video
from ppose.pixel_limit import limit_pixels


def levels(count=20, step=10):
    """Grey images, each a bit lighter than the one before."""
    return [np.full((48, 64, 3), step * level, np.uint8) for level in range(count)]


def times_of_opencv(path):
    capture, times = cv2.VideoCapture(str(path)), []
    while capture.read()[0]:
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return times


def test_frames_have_their_own_times(reference):
    """Of a camera that slows down; by the mean of 3.57 frames a second they would be 0, 0.28, 0.56 ..."""
    times = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert read_times(reference / "cases" / "vfr_video" / "vfr.mp4") == times


def test_times_are_written_as_they_are(tmp_path):
    """OpenCV reads the same."""
    times = [0, 0.04, 0.1, 0.5, 2.0, 2.001, 7.123]
    base = Fraction(1, 1000)
    with writing_video(tmp_path / "a.mp4", (64, 48), rate=Fraction(3), time_base=base) as video:
        for time, image in zip(times, levels(), strict=False):
            video.write(to_picture(image), time)
    assert read_times(tmp_path / "a.mp4") == times
    np.testing.assert_allclose(times_of_opencv(tmp_path / "a.mp4"), times, atol=1e-6)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.duration >= 1e6 * times[-1]  # a player goes on until the last


def test_times_of_a_file_without_any_are_counted(tmp_path):
    """Motion JPEG without a container."""
    frames = [cv2.imencode(".jpg", image)[1].tobytes() for image in levels(4, 60)]
    (tmp_path / "a.mjpeg").write_bytes(b"".join(frames))
    np.testing.assert_allclose(np.diff(read_times(tmp_path / "a.mjpeg")), 0.04)


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        (Clip(start=0.5), range(5, 20)),
        (Clip(end=0.5), range(5)),
        (Clip(every=3), range(0, 20, 3)),
        (Clip(start=0.45, end=1.5, every=2), range(5, 15, 2)),
        (Clip(start=1.9, end=80), [19]),
    ],
)
def test_a_part_of_a_video(tmp_path, clip, expected):
    write_clip(tmp_path / "a.mp4", levels())
    seen = read_clip(tmp_path / "a.mp4", clip)
    assert [time for time, _ in seen] == [index / 10 for index in expected]
    assert [round(float(image.mean()), -1) for _, image in seen] == [10 * index for index in expected]


def test_a_part_that_is_not_there(tmp_path):
    write_clip(tmp_path / "a.mp4", levels())
    with pytest.raises(DataError, match=r"a\.mp4 has no frame from 9 s on: it has 2\.0 s"):
        VideoFile(tmp_path / "a.mp4", Clip(start=9))


@pytest.mark.parametrize("turn", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_videos_of_phones_are_turned(tmp_path, turn):
    """By the matrix in an MP4's track header (ISO/IEC 14496-12 8.3.2); OpenCV turns them likewise."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:20, :20] = 255
    write_clip(tmp_path / "a.mp4", [image] * 3)
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    identity = struct.pack(">5i", 1 << 16, 0, 0, 0, 1 << 16)
    place = data.index(identity, data.rindex(b"tkhd"))
    a, b, c, d = (value << 16 for value in turn)
    data[place : place + len(identity)] = struct.pack(">5i", a, b, 0, c, d)
    (tmp_path / "a.mp4").write_bytes(data)
    frames = VideoFile(tmp_path / "a.mp4")
    seen = next(iter(frames)).read()
    expected = cv2.VideoCapture(str(tmp_path / "a.mp4")).read()[1][..., ::-1]
    assert frames.size == expected.shape[1::-1]
    np.testing.assert_allclose(seen.astype(int), expected, atol=8)


def write_ten_bits(path, levels, *, is_hdr):
    """Grey frames, each a share of the signal's range, in HEVC."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx265", rate=10, options={"x265-params": "log-level=none:lossless=1"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p10le"
        if is_hdr:  # BT.2100 PQ
            context = video.codec_context
            context.colorspace, context.color_primaries, context.color_trc = 9, 9, 16
        for index, level in enumerate(levels):
            frame = av.VideoFrame(64, 48, "yuv420p10le")
            for plane, value in zip(frame.planes, (round(64 + 876 * level), 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def test_ten_bits_become_eight(tmp_path):
    write_ten_bits(tmp_path / "a.mkv", [0, 0.25, 0.5, 1], is_hdr=False)
    means = [image.mean() for _, image in read_clip(tmp_path / "a.mkv")]
    np.testing.assert_allclose(means, [0, 63.75, 127.5, 255], atol=2)


@pytest.mark.heavy
def test_high_dynamic_range_is_mapped(tmp_path):
    """White of 203 cd/m2 (58 % of PQ's signal, ITU-R BT.2408) becomes nearly white, and not grey."""
    write_ten_bits(tmp_path / "a.mkv", (0.0, 0.3, 0.58, 0.9), is_hdr=True)
    means = [image.mean() for _, image in read_clip(tmp_path / "a.mkv")]
    assert (np.diff(means) >= 0).all()
    assert means[0] < 3
    assert means[2] > 225
    assert 250 < means[3] <= 255


def test_the_matrix_of_colours_is_the_files(tmp_path):
    """The same numbers are other colours by BT.601 and BT.709 (Kr = 0.299 and 0.2126)."""
    reds = []
    for matrix in (5, 1):
        with av.open(str(tmp_path / "a.mp4"), "w") as container:
            video = container.add_stream("libx264", rate=10, options={"qp": "0"})
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            video.codec_context.colorspace = matrix
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane, value in zip(frame.planes, (100, 128, 170), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.pts = 0
            container.mux(video.encode(frame))
            container.mux(video.encode(None))
        reds.append(int(read_clip(tmp_path / "a.mp4")[0][1][20, 20, 0]))
    expected = [(100 - 16) * 255 / 219 + (170 - 128) * 255 / 112 * (1 - kr) for kr in (0.299, 0.2126)]
    np.testing.assert_allclose(reds, expected, atol=2)


def test_too_large_frames_are_refused(tmp_path):
    write_clip(tmp_path / "a.mp4", levels(2))
    with limit_pixels(3000), pytest.raises(DataError, match=r"a\.mp4 has 64 x 48 pixels, .* the 3,000 of"):
        VideoFile(tmp_path / "a.mp4")


def test_numbered_images(tmp_path):
    for number, image in enumerate(levels(12, 20), start=9):
        if number != 11:
            cv2.imwrite(str(tmp_path / f"walk_{number:03d}.png"), image)
    (tmp_path / "walk_x.png").write_bytes(b"")
    frames = open_frames(tmp_path / "walk_%03d.png", Clip(start=0.2, every=2), Fraction(5))
    seen = [(frame.time, round(float(frame.read().mean()))) for frame in frames]
    assert seen == [(0.2, 20), (0.6, 80), (1.0, 120), (1.4, 160), (1.8, 200)]
    assert (frames.size, frames.rate) == ((64, 48), 5)
    with pytest.raises(DataError, match=r"no image .*none_%d\.png"):
        open_frames(tmp_path / "none_%d.png", Clip())
    write_clip(tmp_path / "a.mp4", levels(2))
    with pytest.raises(ConfigError, match="--fps is for numbered images"):
        open_frames(tmp_path / "a.mp4", Clip(), Fraction(5))


def test_what_is_no_video(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("this is no video " * 100)
    write_clip(tmp_path / "a.mp4", levels())
    data = (tmp_path / "a.mp4").read_bytes()
    end = data.rindex(b"moov")
    (tmp_path / "cut.mp4").write_bytes(data[:end])
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        sound = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        container.mux([*sound.encode(frame), *sound.encode(None)])
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:2,\n{tmp_path}/a.mp4\n#EXT-X-ENDLIST\n")
    for name, expected in (
        ("none.mp4", "video not found"),
        ("empty.mp4", r"\(0 bytes\)"),
        ("text.mp4", "not a readable"),
        ("cut.mp4", rf"not a readable video: .*\({end} bytes; it was cut off: the index .*\)"),
        ("sound.m4a", "no video in"),
        ("list.m3u8", "not a readable"),  # it would open other files, and addresses
    ):
        with pytest.raises(DataError, match=expected):
            VideoFile(tmp_path / name)
    with pytest.raises(DeviceError, match="camera 97 gives no picture"):
        open_frames(97, Clip())


@pytest.mark.parametrize("clip", [Clip(), Clip(start=0.5, end=1.5)])
def test_sound_goes_with_the_frames(tmp_path, clip):
    """Packet by packet, from the clip's start on."""
    write_clip(tmp_path / "a.mp4", levels())
    add_sound(tmp_path / "b.mp4", tmp_path / "a.mp4", seconds=2)
    frames = VideoFile(tmp_path / "b.mp4", clip)
    like = {"rate": frames.rate, "time_base": frames.time_base, "sound": frames.sound}
    out = tmp_path / "c.mp4"
    with writing_video(out, frames.size, **like) as video:
        for frame in frames:
            video.write(to_picture(frame.read()), frame.time - frames.start, frame.sound)
        video.write_sound(frames.rest_of_sound())
    with av.open(str(tmp_path / "b.mp4")) as container:
        stream = container.streams.video[0]
        zero = float(stream.start_time * stream.time_base) + clip.start
    end = 9 if clip.end is None else zero - clip.start + clip.end
    expected = [(t - zero, data) for t, data in read_sound(tmp_path / "b.mp4") if zero <= t < end]
    assert len(expected) > 40
    written = read_sound(out)
    assert [data for _, data in written] == [data for _, data in expected]
    np.testing.assert_allclose([t for t, _ in written], [t for t, _ in expected], atol=1e-4)


def test_transport_streams(tmp_path):
    """Their AAC is in another form than MP4's; one frame alone stands for itself, and there is no index."""
    write_clip(tmp_path / "a.mp4", levels())
    add_sound(tmp_path / "a.ts", tmp_path / "a.mp4", seconds=2)
    for clip, count in ((Clip(), 20), (Clip(start=0.5), 15)):
        frames = VideoFile(tmp_path / "a.ts", clip)
        like = {"rate": frames.rate, "time_base": frames.time_base, "sound": frames.sound}
        with writing_video(tmp_path / "b.mp4", frames.size, **like) as video:
            for frame in frames:
                video.write(to_picture(frame.read()), frame.time - clip.start, frame.sound)
            video.write_sound(frames.rest_of_sound())
        assert read_times(tmp_path / "b.mp4") == [index / 10 for index in range(count)]
        with av.open(str(tmp_path / "b.mp4")) as container:
            samples = sum(frame.samples for frame in container.decode(audio=0))
        assert samples / 48000 == pytest.approx(2 - clip.start, abs=0.05)
    with pytest.raises(DataError, match=r"a\.ts has no frame from 5 s on: it has 1\.9 s"):
        VideoFile(tmp_path / "a.ts", Clip(start=5))


def test_sound_that_mp4_does_not_hold_is_left_out(tmp_path, caplog):
    write_clip(tmp_path / "a.mp4", levels(5))
    add_sound(tmp_path / "b.mkv", tmp_path / "a.mp4", seconds=0.5, codec="pcm_u8")
    frames = VideoFile(tmp_path / "b.mkv")
    like = {"rate": frames.rate, "time_base": frames.time_base, "sound": frames.sound}
    with writing_video(tmp_path / "c.mp4", frames.size, **like) as video:
        for frame in frames:
            video.write(to_picture(frame.read()), frame.time, frame.sound)
    assert "c.mp4 has no audio: MP4 cannot contain pcm_u8" in caplog.text
    assert len(read_times(tmp_path / "c.mp4")) == 5


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (3, "camera3"),
        ("rtsp://me:secret@cam.example.org:554/live/1?token=x", "cam.example.org_live_1"),
        (Path("frames/walk_%05d.png"), "walk"),
        (Path("frames/%05d.png"), "frames"),
    ],
)
def test_names_of_results(source, name):
    assert name_source(source) == name
