"""Describes a `PoseSpec` in sentences, for users who run an exported model without ppose."""

from typing import Any

from ppose.codecs import Codec, UDPHeatmap
from ppose.codecs.gaussian import blur_kernel_size
from ppose.inference.pose_spec import PoseSpec

_DESCRIBED = ("TopDownEvalAffine", "TopDownAffine", "NormalizeImage", "Permute")


def describe_spec(spec: PoseSpec) -> list[str]:
    """The steps from an image with a box to keypoints, a sentence or two for each."""
    width, height = spec.input_size
    steps = {
        name: given for step in spec.sample_transforms + spec.batch_transforms for name, given in step.items()
    }
    use_udp = any(given.get("use_udp", False) for given in steps.values())
    others = [name for name in steps if name not in _DESCRIBED]
    count = "N" if spec.batch is None else str(spec.batch)
    flip = "averaged with the mirrored image's in the graph" if spec.flip_test else "no flip test"
    return [
        "Image: RGB; the center of the top-left pixel is (0, 0).",
        f"Padding: enlarge one side of the box to the ratio {width}:{height}, then both by "
        f"{spec.box_padding:g}, around its center. Without a box use the whole image, and 1 for that factor.",
        _describe_warp(width, height, use_udp),
        _describe_pixels(spec, steps.get("NormalizeImage")),
        *([f"Further steps, by name: {', '.join(others)}."] if others else []),
        f"Input: tensor image, ({count}, 3, {height}, {width}) {spec.input_dtype}; "
        f"channels {'blue, green, red' if spec.channel_order == 'bgr' else 'red, green, blue'}.",
        *(
            _describe_keypoints(spec, count, flip)
            if spec.decode_in_graph
            else _describe_maps(spec, count, flip)
        ),
    ]


def _describe_keypoints(spec: PoseSpec, count: str, flip: str) -> list[str]:
    """The second input and the output of a graph that decodes."""
    return [
        f"Second input: tensor inverse_warp, ({count}, 2, 3) float32: the matrix from input to image pixels, "
        "(x, y, 1) to (x, y); [[1, 0, 0], [0, 1, 0]] leaves keypoints in input pixels.",
        f"Output: tensor keypoints, ({count}, {spec.keypoint_set.num_keypoints}, 3) float32: x, y in image "
        f"pixels and the score, for each name of keypoint_set; {flip}. Nothing is left to decode: codec and "
        "stride describe the graph.",
    ]


def _describe_maps(spec: PoseSpec, count: str, flip: str) -> list[str]:
    """The output of a graph that does not decode, and the remaining steps."""
    columns, rows = spec.codec.heatmap_size
    maps = f"({count}, {spec.keypoint_set.num_keypoints}, {rows}, {columns})"
    return [
        f"Output: tensor heatmaps, {maps} float32, a map for each name of keypoint_set; {flip}.",
        f"A map's highest value{_over(spec.codec.peak)} is the score, its column and row the "
        "keypoint; (0, 0) where none is above 0. " + _describe_decoding(spec.codec),
        "Stride: multiply by ({:.6g}, {:.6g}) to get input pixels; ".format(*spec.codec.stride)
        + "the inverse of the warp gives image pixels.",
    ]


def _describe_warp(width: int, height: int, use_udp: bool) -> str:
    """How the padded box is mapped to the input."""
    ends = (
        f"its middle goes to ({width / 2:g}, {height / 2:g}), its width becomes {width}, pixels stay square"
    )
    if use_udp:
        ends = (
            f"its sides go to the centers of the border pixels, 0 and {width - 1}, 0 and {height - 1} (UDP)"
        )
    return f"Warp: the padded box becomes {width}x{height}: {ends}; bilinear, black outside, as bytes."


def _describe_pixels(spec: PoseSpec, normalize: dict[str, Any] | None) -> str:
    if normalize is None:
        return f"Pixels stay 0 to 255{', the graph normalises them' if spec.input_dtype == 'uint8' else ''}."
    byte = "byte / 255" if normalize.get("is_scale", True) else "byte"
    mean, std = list(normalize["mean"]), list(normalize.get("std", (1, 1, 1)))
    return f"Pixels become ({byte} - {mean}) / {std}, channels first."


def _over(peak: float) -> str:
    return "" if peak == 1 else f" / {peak:g}"


def _describe_decoding(codec: Codec) -> str:
    is_udp, sigma = isinstance(codec, UDPHeatmap), getattr(codec, "sigma", None)
    if sigma is None:
        return f"Then as {type(codec).__name__} decodes."
    if not is_udp and not getattr(codec, "use_dark", False):
        return "It moves by 1/4 pixel to the higher neighbour, in x and in y, but not at the border."
    size, cut = blur_kernel_size(sigma), "0.001 to 50" if is_udp else "1e-10 and above"
    return (
        f"It moves by DARK's step{' as UDP takes it' if is_udp else ''}: -H^-1 g of the map's logarithm, "
        f"after OpenCV's Gaussian kernel of {size}x{size}, scaling to the old maximum and a cut to {cut}."
    )
