"""Small images and videos of each supported format; some state a far larger size than they have."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

_FORMATS = (".jpg", ".png", ".bmp", ".webp", ".tiff", ".gif", ".avif", ".ppm")
_VIDEOS = (("mp4v", ".mp4"), ("MJPG", ".avi"), ("mp4v", ".mkv"), ("VP80", ".webm"))
_HUGE = (65_000, 60_000)


def whole_images() -> list[bytes]:
    """Return one image of each format, a progressive JPEG, and images that would fill the memory."""
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (48, 36), interpolation=cv2.INTER_CUBIC)
    images = [cv2.imencode(ending, picture)[1].tobytes() for ending in _FORMATS]
    images.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes())
    return images + [_huge_png(), _huge_bmp(), _huge_jpeg(images[0]), b"P6 %d %d 255\n" % _HUGE + bytes(500)]


def whole_videos(folder: Path) -> list[bytes]:
    """Return videos of a few frames in each container."""
    videos = []
    for code, ending in _VIDEOS:
        file = folder / f"whole{ending}"
        writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*code), 10, (64, 48))
        for number in range(6):
            writer.write(np.full((48, 64, 3), 40 * number, np.uint8))
        writer.release()
        videos.append(file.read_bytes())
    return videos


def _huge_png() -> bytes:
    head = struct.pack(">IIBBBBB", *_HUGE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(10_000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _huge_bmp() -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, *_HUGE, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 1024, 0, 0, 54) + info + bytes(970)


def _huge_jpeg(small: bytes) -> bytes:
    frame = small.index(b"\xff\xc0")
    return small[: frame + 5] + struct.pack(">HH", *_HUGE) + small[frame + 9 :]
