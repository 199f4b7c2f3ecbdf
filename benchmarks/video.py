"""Measures videos in `ppose predict`: milliseconds per frame, beside another version's, and memory.

    python benchmarks/video.py --model_dir DIR --detector DIR --data coco_dev [--base CHECKOUT]

deploy/infer.py processes a video of 1280x720 with four people, moving photos, with a detector, OpenVINO,
drawing and a line per frame: once with --frames, once with a tenth of them; the difference excludes the
start. Versions and codecs run in turns. Memory is that of the process at each tenth of its frames.

Two cores of an AMD EPYC (AVX512, VNNI), tinypose_128x96, PicoDet-S 192 of PaddleDetection, core-ms per frame
(wall ms in brackets): 64.4 (33.6) without pipeline and streams, with mp4v; 51.4 (27.9) with the detector in
Paddle and x264's superfast, 43.1 (23.8) as mpeg4; two turns, without other load. With the detector in
OpenVINO and ultrafast with subme=1: 34.1 (18.2), as mpeg4 31.8 (17.4), and without pipeline and streams 79.8
and 65.5 (42.7 and 44.7) in the same two turns. The start takes 1.8 s instead of 3.8: Paddle is not imported.
Two cores of an Intel Xeon (AVX512, VNNI, AMX), medians of five turns without other load: 39.3 (21.0), as
mpeg4 36.6 (19.5), without pipeline and streams 79.3 (48.1); ratios by the clock 2.16 to 2.69.

The parts of the 51.4, measured alone, add up to 51.7: detector 18.4, network and decoding of keypoints 14.3,
x264 8.9, drawing 2.6, decoding 2.1, to RGB 1.6, and back 1.6, cropping 1.0, the detector's input 0.7,
tracking 0.4. For the detector with one thread, Paddle took 11.2, OpenVINO 5.1.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.processor import own_cores, processor_name

ROOT = Path(__file__).resolve().parent.parent
_SIZE, _RATE, _REACH = (320, 720), 30, 40  # size of a person's part of the picture, frame rate, movement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", required=True, metavar="DIR")
    parser.add_argument("--detector", required=True, metavar="DIR", help="as PaddleDetection exports it")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="coco_dev")
    parser.add_argument("--base", type=Path, metavar="CHECKOUT", help="another version, to compare with")
    parser.add_argument("--base_model_dir", metavar="DIR", help="its export")
    parser.add_argument("--frames", type=int, default=330)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    now = (ROOT, args.model_dir)
    ways = {"h264": (*now, ()), "mpeg4": (*now, ("--codec", "mpeg4"))}
    if args.base:
        ways = {"base": (args.base.resolve(), args.base_model_dir or args.model_dir, ()), **ways}
    print(f"{processor_name()}, {own_cores()} cores")
    with tempfile.TemporaryDirectory() as folder:
        counts = args.frames // 10, args.frames
        videos = [write_video(Path(folder) / f"{count}.mp4", count, args.data) for count in counts]
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for turn in range(args.rounds):
            for name in sorted(ways, reverse=bool(turn % 2)):
                few, all_of_them = [run(*ways[name], video, args.detector, Path(folder)) for video in videos]
                of_frame = [
                    1000 * (b - a) / (counts[1] - counts[0]) for a, b in zip(few, all_of_them, strict=True)
                ]
                took[name].append((of_frame[0], of_frame[1]))
                print(f"{name:6} {of_frame[0]:6.2f} ms a frame, {of_frame[1]:6.2f} of a core", flush=True)
    for name, each in took.items():
        wall, cpu = map(statistics.median, zip(*each, strict=True))
        print(f"{name}: {wall:.2f} ms a frame, {cpu:.2f} of a core")


def run(
    root: Path, model: str, more: tuple[str, ...], video: Path, detector: str, folder: Path
) -> tuple[float, float]:
    """Run the command; return its seconds and core-seconds, and print its memory."""
    command = [sys.executable, "deploy/infer.py", "--model_dir", str(Path(model).resolve())]
    command += ["--det_model_dir", str(Path(detector).resolve()), "--video_file", str(video)]
    command += ["--runtime", "openvino", "--save_json", "--output_dir", f"{folder}/out", *more]
    environment = {**os.environ, "PYTHONPATH": str(root), "PPOSE_HOME": f"{folder}/home"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=root, env=environment, **quiet)
    memory = list(watch(process, Path(folder) / "out", int(video.stem)))
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    if memory:
        print(f"  {video.stem} frames, MB at each tenth: {', '.join(f'{mb:.0f}' for mb in memory)}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def watch(process: "subprocess.Popen[bytes]", output: Path, frames: int) -> Iterator[float]:
    """Yield the resident megabytes of a process until its end, at each tenth of the lines that it writes."""
    tenth, lines, file = 1, 0, None
    while process.poll() is None:
        time.sleep(0.02)
        if file is None and (parts := list(output.glob(f"{frames}.*.part.jsonl"))):
            file = parts[0].open("rb")
        lines += file.read().count(b"\n") if file else 0
        if lines >= tenth * frames // 10:
            status = Path(f"/proc/{process.pid}/status").read_text()
            tenth = max(tenth, 10 * lines // frames) + 1
            yield next((int(s.split()[1]) / 1024 for s in status.splitlines() if s.startswith("VmRSS")), 0.0)


def write_video(path: Path, frames: int, data: Path) -> Path:
    """Write a video of four photos of one large person each, side by side, moving by whole pixels."""
    parts = list(islice(cut_people(data), 4, 8))  # PicoDet-S finds these people in each frame
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_RATE, options={"preset": "fast", "crf": "20"})
        (stream.width, stream.height), stream.pix_fmt = (4 * _SIZE[0], _SIZE[1]), "yuv420p"
        for index in range(frames):
            moved = []
            for place, part in enumerate(parts):
                left = round(_REACH * (1 + np.sin(index / 20 + place)))
                top = round(_REACH * (1 + np.cos(index / 17 + 2 * place)))
                moved.append(part[top : top + _SIZE[1], left : left + _SIZE[0]])
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.concatenate(moved, axis=1)))
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut_people(data: Path) -> Iterator[np.ndarray]:
    """Yield pictures (h, w, 3), RGB, of people who are alone, large, and upright."""
    annotations = json.loads(next((data / "annotations").glob("*person*.json")).read_text())
    names = {image["id"]: image["file_name"] for image in annotations["images"]}
    people = annotations["annotations"]
    for person in people:
        x, y, width, height = person["bbox"]
        is_alone = sum(each["image_id"] == person["image_id"] for each in people) == 1
        if not is_alone or person.get("num_keypoints", 0) < 12 or height < 200 or width > 0.9 * height:
            continue
        image = cv2.imread(str(data / "images" / names[person["image_id"]]))[..., ::-1]
        scale, size = 500 / height, np.array(_SIZE) + 2 * _REACH
        shift = size / 2 - scale * np.array([x + width / 2, y + height / 2])
        warp = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        yield cv2.warpAffine(image, warp, tuple(size.tolist()), borderMode=cv2.BORDER_REFLECT_101)


if __name__ == "__main__":
    main()
