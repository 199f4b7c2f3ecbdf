"""Maps parameter names of published checkpoints to those of our networks.

Known are our own names, also as paddleslim wraps them; HRNet and Lite-HRNet of PaddleDetection and
PaddlePaddle/models; the official PyTorch HRNet and SimpleBaseline; HSRNet and HSR-MSNet; mmpose 0.x and 1.x;
backbone-only files of these, and torchvision's ResNets.
"""

import re
from collections.abc import Collection, Iterable, Mapping

# Whole-name rules for PaddleDetection's HRNet, which counts from 1. In a template, {n} is a group unchanged
# and {n0} the group minus one; {part} is conv or bn; {index} is the index of either in a Sequential.
_STAGE = r"st(?P<n>\d)\.stage_st\d_(?P<m>\d)\."
_KIND = r"(?P<kind>conv|norm)"
_PADDLE_HRNET = [
    (rf"conv_layer1_(?P<d>\d)\.{_KIND}", "{part}{d}"),
    (rf"la1\.block_layer2_(?P<k>\d)\.conv(?P<d>\d)\.{_KIND}", "layer1.{k0}.{part}{d}"),
    (rf"la1\.block_layer2_(?P<k>\d)\.conv_down\.{_KIND}", "layer1.{k0}.downsample.{index}"),
    # The first branch of tr1 keeps its stride; all other transitions add a branch.
    (rf"tr1\.transition_tr1_layer_1\.{_KIND}", "transition1.0.{index}"),
    (rf"tr(?P<n>\d)\.transition_tr\d_layer_(?P<i>\d)\.{_KIND}", "transition{n}.{i0}.0.{index}"),
    (
        rf"{_STAGE}branches_func\.bb_st\d_\d_branch_layer_(?P<b>\d)_(?P<k>\d)\.conv(?P<d>\d)\.{_KIND}",
        "stage{n}.{m0}.branches.{b0}.{k0}.{part}{d}",
    ),
    (
        rf"{_STAGE}fuse_func\.residual_st\d_\d_layer_(?P<i>\d)_(?P<j>\d)\.{_KIND}",
        "stage{n}.{m0}.fuse_layers.{i0}.{j0}.{index}",
    ),
    (
        rf"{_STAGE}fuse_func\.residual_st\d_\d_layer_(?P<i>\d)_(?P<j>\d)_(?P<k>\d)\.{_KIND}",
        "stage{n}.{m0}.fuse_layers.{i0}.{j0}.{k0}.{index}",
    ),
]
_RULES = [(re.compile(pattern), template) for pattern, template in _PADDLE_HRNET]

# Rules for parts of a name, applied in order.
_PARTS = [
    (re.compile(r"^module\."), ""),  # PyTorch's DataParallel
    (re.compile(r"\.running_mean$"), "._mean"),
    (re.compile(r"\.running_var$"), "._variance"),
    (re.compile(r"\.bn\."), ".norm."),  # mmpose's Lite-HRNet
    (re.compile(r"\._layer\."), "."),  # Paddle's observers of outputs hold the layer
    (re.compile(r"\.extra_conv\."), ".downsample."),  # HSRNet's dilated blocks
]
_LAST_NUMBER = re.compile(r"\d+\.$")
_PREFIX = re.compile(r"^(backbone|head|keypoint_head)\.")

# PyTorch's counters of batches, and output scales observed by Paddle.
_USELESS = re.compile(r"num_batches_tracked$|\._ma_output_scale\.")


def own_names(keys: Iterable[str], wanted: Collection[str]) -> dict[str, str]:
    """Map a checkpoint's keys to parameter names of the model, whose names are `wanted`.

    A key without a counterpart maps to a name that is not in `wanted`. Keys that no network needs
    (`num_batches_tracked`, `_ma_output_scale`) are skipped.

    >>> own_names(["la1.block_layer2_1.conv1.norm._mean"], {"backbone.layer1.0.bn1._mean"})
    {'la1.block_layer2_1.conv1.norm._mean': 'backbone.layer1.0.bn1._mean'}
    """
    wanted = frozenset(wanted)
    return {key: _place(_normalise(key), wanted) for key in keys if not _USELESS.search(key)}


def find_beyond(names: Mapping[str, str], wanted: Iterable[str]) -> list[str]:
    """Of keys and `own_names` that the model lacks, those in one of its blocks, or in a further block.

    >>> find_beyond({"a": "layer1.2.conv1.weight", "b": "fc.weight"}, ["backbone.layer1.0.conv1.weight"])
    ['a']
    """
    blocks = {block for name in wanted for block in _find_blocks(name)}
    found = []
    for key, name in names.items():
        own = _find_blocks(name)
        new = next((block for block in own if block not in blocks), None)
        if own and (new is None or _LAST_NUMBER.sub("0.", new) in blocks):
            found.append(key)
    return found


def _find_blocks(name: str) -> list[str]:
    """The prefixes of a name up to each number in it, such as layer1.0. and layer1.0.downsample.1."""
    bare = _PREFIX.sub("", name)
    return [bare[: match.end()] for match in re.finditer(r"(?<=\.)\d+\.", bare)]


def _normalise(key: str) -> str:
    for pattern, replacement in _PARTS:
        key = pattern.sub(replacement, key)
    prefix = _PREFIX.match(key)
    start = prefix.end() if prefix else 0
    module, _, last = key[start:].rpartition(".")
    for pattern, template in _RULES:
        match = pattern.fullmatch(module)
        if match:
            return f"{key[:start]}{_fill(template, match.groupdict())}.{last}"
    return key


def _fill(template: str, groups: dict[str, str]) -> str:
    is_conv = groups.pop("kind") == "conv"
    from_zero = {f"{name}0": int(number) - 1 for name, number in groups.items()}
    return template.format(
        **groups, **from_zero, part="conv" if is_conv else "bn", index="0" if is_conv else "1"
    )


def _place(name: str, wanted: frozenset[str]) -> str:
    """The first variant of the name, without and with a prefix, that the model has; else the name itself."""
    bare = _PREFIX.sub("", name)
    head = re.sub(r"^final_layer\.", "final_conv.", bare)
    return next((c for c in (name, bare, f"backbone.{bare}", head) if c in wanted), name)
