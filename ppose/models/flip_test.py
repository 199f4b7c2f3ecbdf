"""The flip test: averages the heatmaps of an image and its mirror image."""

from collections.abc import Callable, Sequence

import paddle


def flip_test(
    model: Callable[[paddle.Tensor], paddle.Tensor],
    images: paddle.Tensor,
    flip_pairs: Sequence[Sequence[int]],
    shift_heatmap: bool,
) -> paddle.Tensor:
    """Heatmaps (N, K, H, W) of images (N, 3, h, w), averaged with those of the mirrored images.

    The model, in evaluation mode, gets both in one batch; the images stay unchanged. flip_pairs holds pairs
    of keypoint indices that swap in the mirror image. shift_heatmap shifts the mirrored heatmaps one pixel to
    the right and keeps their first column: with plain targets, mirrored maps are off by (stride - 1) / stride
    of a heatmap pixel (SHIFT_HEATMAP of the official HRNet code; UDP, Huang et al., CVPR 2020, section 3).
    """
    heatmaps = model(paddle.concat([images, images.flip(axis=3)]))
    # In an exported graph the batch size is unknown, so the batch cannot be split, but it can be reshaped.
    plain, mirrored = heatmaps.reshape([2, -1, *heatmaps.shape[1:]]).unbind()
    order = list(range(heatmaps.shape[1]))
    for left, right in flip_pairs:
        order[left], order[right] = right, left
    mirrored = mirrored.flip(axis=3).index_select(paddle.to_tensor(order), axis=1)
    if shift_heatmap:
        mirrored = paddle.concat([mirrored[..., :1], mirrored[..., :-1]], axis=-1)
    return 0.5 * (plain + mirrored)
