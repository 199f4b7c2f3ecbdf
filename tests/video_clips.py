"""Videos as tests write and read them."""

from fractions import Fraction

import av
import numpy as np

from ppose.inference.video_files import VideoFile
from ppose.inference.video_writing import to_picture, writing_video


def write_clip(path, images, rate=10, codec="h264"):
    """A video of images (H, W, 3) uint8, RGB, evenly apart, as ppose writes it."""
    images = list(images)
    size = images[0].shape[1::-1]
    with writing_video(path, size, rate=Fraction(rate), time_base=Fraction(1, 90000), codec=codec) as video:
        for index, image in enumerate(images):
            video.write(to_picture(image), index / rate)


def read_clip(path, clip=None):
    """Times and images of a video."""
    frames = VideoFile(path, clip)
    seen = [(frame.time, frame.read()) for frame in frames]
    frames.close()
    return seen


def read_times(path, clip=None):
    """Times of a video's frames."""
    return [time for time, _ in read_clip(path, clip)]


def read_sound(path):
    """Times and contents of the packets of a video's audio."""
    with av.open(str(path)) as container:
        stream = container.streams.best("audio")
        return [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(stream) if p.size]


def add_sound(path, source, seconds, codec="aac"):
    """A copy of a video with a tone of this length."""
    rate = 48000
    with av.open(str(source)) as video, av.open(str(path), "w") as output:
        pictures = output.add_stream_from_template(video.streams.video[0])
        sound = output.add_stream(codec, rate=rate, layout="mono")
        tone = np.sin(np.arange(int(seconds * rate)) / 20).astype(np.float32)
        for start in range(0, len(tone), 1024):
            part = np.ascontiguousarray(tone[None, start : start + 1024])
            if codec == "pcm_u8":
                frame = av.AudioFrame.from_ndarray((128 + 99 * part).astype(np.uint8), "u8", "mono")
            else:
                frame = av.AudioFrame.from_ndarray(part, "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
        for packet in video.demux(video=0):
            if packet.dts is not None:
                packet.stream = pictures
                output.mux(packet)
