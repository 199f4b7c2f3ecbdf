"""Measures people per second in folders and videos, against the bound of the parts and another version.

    python benchmarks/throughput.py --model_dir A B --image_dir DIR --boxes FILE [--base CHECKOUT] [--video]

"folder" writes pictures and keypoints.json of a folder like `ppose predict --image_dir`, each time in a new
process, whose start is not counted. "bound" is the rate of cores that only run network, decoding, cropping,
drawing and encoding without waiting: core-seconds of each part, measured alone, divided by the cores. It
excludes finding keypoints in heatmaps and writing files and JSON, which are printed too. "start" is the whole
command for one image, from the second run on. "video" draws four people with known boxes in frames of
1280x720, and encodes them. --base is a checkout of another version with the same functions, measured in turns
with this one; medians over --rounds.

Two cores of an AMD EPYC (AVX512, VNNI), OpenVINO 2026.4, `coco_dev` with its annotated boxes (2026-11-27).
tinypose_128x96 went through the folder at 402 people/s, 0.94 of the bound of 426; the command for one image
took 0.73 s. Against bb4bb7f, which has neither pipeline nor streams, by a separate script, in turns, medians
and ranges: tinypose 391 and 247 people/s, 1.58 (1.53 to 1.61), 4.9 and 6.2 core-ms; Lite-HRNet-30, 30 images,
99 and 62, 1.61 (1.57 to 1.64), 19.6 and 30.0; HRNet-W32, 30 images, 13.4 and 13.7, 0.98, 140 and 142: its
time is arithmetic, and at the end one stream waits for the other.

Two cores of an Intel Xeon (AVX512, VNNI, BF16, AMX), all 126 images (2026-11-27): tinypose 327 and 161
people/s, 2.06 (1.67 to 2.19), Lite-HRNet-30 72 and 37, 1.96 (1.66 to 2.10), HRNet-W32 20.7 and 16.8, 1.23
(1.19 to 1.24). 0.82 and 0.84 of the bound for tinypose and Lite-HRNet-30: their batches of 8 and 4 take 0.33
and 0.4 core-ms more than the fastest, of 2 to 4. The command for one image took 0.82 s.

Parts of tinypose's 4.7, alone: network 3.2, decoding images 0.55, cropping 0.25, drawing 0.20, encoding 0.25;
outside the bound, writing 0.15, keypoints 0.04, the pipeline 0.03. Batches in two streams, core-ms per
person: tinypose's network alone 3.24, 3.25, 3.09, 3.20 for sizes 2, 4, 8, 16, its folder 5.11, 4.87 for 4, 8;
Lite-HRNet-30's 18.5, 22.0, HRNet-W32's 142, 155 (35 people padded to 36, 40).

Two threads that synchronize after every operator spin for half of Lite-HRNet's time. Callers wait in threads
for their requests, without AsyncInferQueue, so that reading, drawing and the network share as many threads as
cores. Loading tinypose from the cache takes 0.3 s of processor time, reading and compiling 1.1.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_BOUND = ("decode", "cut out", "network", "draw", "encode")  # the parts of the bound
_FRAMES, _RATE, _SIZE = 600, 30, (1280, 720)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--image_dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--boxes", required=True, metavar="FILE")
    parser.add_argument("--base", type=Path, metavar="CHECKOUT", help="another version, to compare with")
    parser.add_argument("--images", type=int, metavar="N", help="the first of the folder alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runtime", default="openvino")
    parser.add_argument("--video", action="store_true", help="measure a video too")
    parser.add_argument("--frames", type=int, default=_FRAMES, help="of the video")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:  # in a child process
        print(json.dumps(WORK[args.work](args)))
        return
    sys.path.insert(0, str(ROOT))
    from ppose.processor import own_cores, processor_name

    versions = {"now": ROOT, **({"base": args.base.resolve()} if args.base else {})}
    print(f"{processor_name()}, {own_cores()} cores; {args.runtime}")
    for model in args.model_dir:
        show_folder(args, model, versions, own_cores())
    show_start(args, versions)
    if args.video:
        show_video(args, versions)


def show_folder(args: argparse.Namespace, model: Path, versions: dict[str, Path], cores: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in versions}
    cpu: dict[str, list[float]] = {name: [] for name in versions}
    for turn in range(args.rounds):
        for name in sorted(versions, reverse=bool(turn % 2)):
            done = work(versions[name], "folder", model, args)
            rates[name].append(done["people"] / done["seconds"])
            cpu[name].append(1000 * done["cpu"] / done["people"])
    parts = work(ROOT, "parts", model, args)
    bound = parts["people"] / (sum(parts["seconds"][part] for part in _BOUND) / cores)
    now = statistics.median(rates["now"])
    print(f"\n{model.name}: {now:.1f} people/s, {now / bound:.2f} of the bound of {bound:.1f}")
    per_person = {part: 1000 * s / parts["people"] for part, s in parts["seconds"].items()}
    took = ", ".join(f"{name} {statistics.median(ms):.2f}" for name, ms in cpu.items())
    alone = ", ".join(f"{part} {ms:.2f}" for part, ms in per_person.items())
    print(f"  core ms a person: {took}; alone: {alone}")
    modes = ", ".join(f"{name} {wall:.2f} ({cpu:.2f})" for name, (wall, cpu) in parts["modes"].items())
    print(f"  network alone, ms a person (of a core): {modes}")
    if "base" in rates:
        base = statistics.median(rates["base"])
        print(f"  base {base:.1f} people/s: ratio {now / base:.2f} ({show_ratios(rates)})")


def show_ratios(rates: dict[str, list[float]]) -> str:
    return ", ".join(f"{a / b:.2f}" for a, b in zip(rates["now"], rates["base"], strict=True))


def show_start(args: argparse.Namespace, versions: dict[str, Path]) -> None:
    image = next(file for file in sorted(args.image_dir.iterdir()) if file.suffix == ".jpg")
    seconds: dict[str, list[float]] = {name: [] for name in versions}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(2 * args.rounds + 1):
            for name, root in versions.items():
                command = [sys.executable, str(root / "deploy" / "infer.py")]
                command += ["--model_dir", str(args.model_dir[0].resolve())]
                command += ["--image_file", str(image.resolve())]
                command += ["--runtime", args.runtime, "--output_dir", f"{folder}/{name}"]
                environment = {**os.environ, "PPOSE_HOME": f"{folder}/home"}
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, env=environment, cwd=root)
                if turn:
                    seconds[name].append(time.perf_counter() - start)
    shown = ", ".join(f"{name} {statistics.median(s):.2f} s" for name, s in seconds.items())
    print(f"\n{args.model_dir[0].name}, one image, command from the second time on: {shown}")


def show_video(args: argparse.Namespace, versions: dict[str, Path]) -> None:
    rates: dict[str, list[float]] = {name: [] for name in versions}
    for turn in range(args.rounds):
        for name in sorted(versions, reverse=bool(turn % 2)):
            done = work(versions[name], "video", args.model_dir[0], args)
            rates[name].append(done["frames"] / done["seconds"])
            if turn == 0:
                shown = ", ".join(f"{mb:.0f}" for mb in done["memory"])
                print(f"\n{name}: video of {done['frames']} frames, MB at each tenth: {shown}")
    shown = ", ".join(f"{name} {statistics.median(r):.1f}" for name, r in rates.items())
    print(f"frames/s: {shown}" + (f": ratio {show_ratios(rates)}" if "base" in rates else ""))


def work(root: Path, what: str, model: Path, args: argparse.Namespace) -> Any:
    """Run a part of this script in a new process with that version of ppose; return its JSON."""
    command = [sys.executable, __file__, "--work", what, "--model_dir", str(model), "--runtime", args.runtime]
    command += ["--image_dir", str(args.image_dir), "--boxes", args.boxes, "--frames", str(args.frames)]
    command += ["--images", str(args.images)] if args.images else []
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def open_predictor(args: argparse.Namespace, hint: str = "throughput", **options: Any) -> Any:
    from ppose.inference.command import warm_up
    from ppose.inference.predictor import Predictor

    predictor = Predictor.from_dir(args.model_dir[0], runtime=args.runtime, hint=hint, **options)
    warm_up(predictor)
    return predictor


def read_entries(args: argparse.Namespace) -> Any:
    from ppose.image_files import list_images, read_boxes_and_sizes

    files = list_images(args.image_dir)[: args.images]
    return files, *read_boxes_and_sizes(args.boxes, files)


def run_folder(args: argparse.Namespace) -> dict[str, float]:
    from ppose.inference.pose_files import ImageFiles, write_poses

    predictor, entries = open_predictor(args), read_entries(args)
    with tempfile.TemporaryDirectory() as folder:
        start, cpu = time.perf_counter(), time.process_time()
        people = write_poses(ImageFiles(*entries), predictor, Path(folder), threshold=0.2, save_json=True)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        return {"people": people, "seconds": seconds, "cpu": cpu}


def run_parts(args: argparse.Namespace) -> dict[str, Any]:
    """Measure core-seconds of each part alone, and of the network in several modes."""
    import numpy as np

    from ppose.files import write_bytes, write_json
    from ppose.inference.pose_files import stack_poses
    from ppose.transforms import read_annotated
    from ppose.visualize import draw_poses, encode_picture

    files, boxes, sizes = read_entries(args)
    predictor = open_predictor(args)
    seconds: dict[str, float] = {}

    def count(part: str, run: Any) -> Any:
        before = time.process_time()
        done = run()
        seconds[part] = time.process_time() - before
        return done

    def cut_out() -> list[Any]:
        samples = [predictor.spec.cut_out(i, b) for i, b in zip(images, boxes, strict=True)]
        people = [sample for of_image in samples for sample in of_image]
        return [predictor.spec.make_batch(people[i : i + size]) for i in range(0, len(people), size)]

    def draw() -> list[Any]:
        found = zip(images, poses, boxes, strict=True)
        return [draw_poses(i, stack_poses(p), predictor.keypoint_set, bboxes_xyxy=b) for i, p, b in found]

    def write(folder: Path) -> None:
        for file, picture in zip(files, encoded, strict=True):
            write_bytes(folder / file.name, picture)
        write_json(folder / "keypoints.json", [pose.to_record() for of_image in poses for pose in of_image])

    size = predictor.batch_size
    images = count("decode", lambda: [read_annotated(f, s)[0] for f, s in zip(files, sizes, strict=True)])
    batches = count("cut out", cut_out)
    poses = predictor.predict_images(images, boxes)
    pictures = count("draw", draw)
    named = zip(pictures, files, strict=True)
    encoded = count("encode", lambda: [encode_picture(p, f.suffix) for p, f in named])
    with tempfile.TemporaryDirectory() as folder:
        count("write", lambda: write(Path(folder)))
    heatmaps = [(predictor.find_heatmaps(batch), batch["warp"]) for batch in batches]
    count("keypoints", lambda: [predictor.spec.decode(*each) for each in heatmaps])
    people = np.concatenate([batch["image"] for batch in batches])
    modes = measure_modes(args, people)
    seconds["network"] = min(cpu for _, cpu in modes.values()) / 1000 * len(people)
    return {"people": len(people), "seconds": seconds, "modes": modes}


def measure_modes(args: argparse.Namespace, people: Any) -> dict[str, tuple[float, float]]:
    """Measure the network alone by hint and batch size: milliseconds per person, and of processor time."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    modes = {}
    for hint, size in (("latency", 1), ("latency", 16), *(("throughput", n) for n in (1, 2, 4, 8, 16))):
        predictor = open_predictor(args, hint, batch_size=size)
        warps = np.zeros((size, 2, 3))
        batches = [{"image": people[i : i + size], "warp": warps} for i in range(0, len(people), size)]
        with ThreadPoolExecutor(predictor.callers) as pool:
            times = []
            for _ in range(2):
                start, cpu = time.perf_counter(), time.process_time()
                list(pool.map(predictor.find_heatmaps, batches))
                times.append((time.perf_counter() - start, time.process_time() - cpu))
        modes[f"{hint} {size}"] = tuple(1000 * min(each) / len(people) for each in zip(*times, strict=True))
    return modes


def run_video(args: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    from ppose.inference.tracking import Tracker
    from ppose.inference.video import process_video
    from ppose.inference.video_files import VideoFile

    predictor = open_predictor(args)
    tracker = Tracker(predictor.keypoint_set.sigmas)
    memory, count = [], 0
    corners = np.array([[60.0, 100], [360, 120], [660, 90], [960, 110]])
    boxes = np.concatenate([corners, corners + [220, 560]], axis=1)

    def find_people(image: Any) -> Any:
        nonlocal count
        count += 1
        if count % (args.frames // 10) == 0:
            lines = Path("/proc/self/status").read_text().splitlines()
            memory.append(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024)
        return boxes

    with tempfile.TemporaryDirectory() as folder:
        source = write_source(Path(folder) / "in.mp4", args)
        frames, output = VideoFile(source), Path(folder) / "out.mp4"
        start = time.perf_counter()
        done = process_video(frames, predictor, find_people, tracker, output, threshold=0.2, save_json=True)
        return {"frames": done, "seconds": time.perf_counter() - start, "memory": memory}


def write_source(path: Path, args: argparse.Namespace) -> Path:
    """Write a video of moving photos, four side by side."""
    import av
    import cv2
    import numpy as np

    files = sorted(file for file in args.image_dir.iterdir() if file.suffix == ".jpg")[:16]
    photos = [cv2.resize(cv2.imread(str(file)), (320, _SIZE[1]))[..., ::-1] for file in files]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_RATE, options={"preset": "ultrafast", "crf": "20"})
        (stream.width, stream.height), stream.pix_fmt = _SIZE, "yuv420p"
        for index in range(args.frames):
            four = [photos[(index // 60 + place) % len(photos)] for place in range(4)]
            shown = np.roll(np.concatenate(four, axis=1), index % 30, axis=1)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shown))
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


WORK = {"folder": run_folder, "parts": run_parts, "video": run_video}


if __name__ == "__main__":
    main()
