"""Draws docs/overview.png: people with their keypoints, and what docs/benchmarks.md says of runtimes as bars.

    python docs/make_overview.py

The people are drawn ones (`ppose.data.synthetic`), with the keypoints that they were drawn with.
"""

import io
import re
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.data.synthetic import render_scene
from ppose.files import replacing
from ppose.keypoints import get_keypoint_set
from ppose.visualize import draw_poses

FOLDER = Path(__file__).resolve().parent
PICTURE = FOLDER / "overview.png"
SCENES = (5, 8, 13)
SIZE = (190, 300)
# The rows of the page's table of milliseconds, and what the bars are called.
BARS = {
    "unoptimized, `paddle`": "Paddle Inference, as trained",
    "exported, `paddle`": "Paddle Inference",
    "exported, `onnxruntime`": "ONNX Runtime",
    "exported, `openvino` (`auto`)": "OpenVINO",
    "exported, `openvino --precision bf16`": "OpenVINO, bf16",
    "int8, `openvino`": "OpenVINO, int8",
}
COLOURS = ("#9aa5b1", "#6b7a8c", "#6b7a8c", "#0a7ea4", "#0a7ea4", "#0a7ea4")


def read_milliseconds(page: str) -> dict[str, tuple[float, float]]:
    """By row of the page's table: milliseconds a person of HRNet-W32 and Lite-HRNet-30."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE)
    return {name: (float(first), float(second)) for name, first, second in rows}


def draw_people() -> np.ndarray:
    """Scenes side by side with the poses of their people, (H, W, 3) uint8, RGB."""
    pictures = []
    for index in SCENES:
        image, annotations = render_scene(7, index, SIZE, (1, 1), 0.5)
        points = np.array([np.reshape(a["keypoints"], (-1, 3)) for a in annotations], float)
        points[..., 2] = points[..., 2] > 0
        pictures += [draw_poses(image, points, get_keypoint_set("coco17"))]
    return np.concatenate(pictures, axis=1)


def draw_overview(milliseconds: dict[str, tuple[float, float]]) -> bytes:
    """The picture, a PNG of few colours."""
    mpl.use("Agg")
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.4), width_ratios=[2.1, 1, 1], layout="constrained")
    axes[0].imshow(draw_people())
    axes[0].set_title("drawn people, with the keypoints that train a network", fontsize=10)
    axes[0].axis("off")
    for place, name in enumerate(("HRNet-W32", "Lite-HRNet-30")):
        axis, values = axes[1 + place], [milliseconds[row][place] for row in BARS]
        bars = axis.barh(list(BARS.values()), values, color=COLOURS)
        axis.bar_label(bars, [f"{value:g}" for value in values], padding=3, fontsize=9)
        axis.set_title(f"{name}: ms a person", fontsize=10)
        axis.set_xlim(0, 1.18 * max(values))
        axis.invert_yaxis()
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.tick_params(bottom=False, labelbottom=False, left=False, labelsize=9)
    axes[2].set_yticklabels([])
    axes[1].set_xlabel("256x192, two cores of an AMD EPYC", fontsize=8)
    raw = io.BytesIO()
    figure.savefig(raw, dpi=100)
    pyplot.close(figure)
    small = Image.open(raw).convert("RGB").quantize(96, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    small.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def main() -> None:
    picture = draw_overview(read_milliseconds((FOLDER / "benchmarks.md").read_text(encoding="utf-8")))
    with replacing(PICTURE) as partial:
        partial.write_bytes(picture)
    print(f"{PICTURE}: {len(picture)} bytes")


if __name__ == "__main__":
    main()
