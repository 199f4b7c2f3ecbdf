"""The flip test: an image and its mirror image, averaged."""

from collections.abc import Callable, Sequence

import paddle


def flip_test(
    model: Callable[[paddle.Tensor], paddle.Tensor],
    images: paddle.Tensor,
    flip_pairs: Sequence[Sequence[int]],
    shift_heatmap: bool,
) -> paddle.Tensor:
    """Heatmaps (N, K, H, W) of images (N, 3, h, w), averaged with those of the mirrored images.

    The model, in evaluation mode, sees both in one batch; the images stay as they are. flip_pairs holds
    pairs of keypoint indices that change places in the mirror. shift_heatmap moves the mirrored heatmaps one
    pixel to the right, their first column stays: with plain targets, mirrored maps lie off by
    (stride - 1) / stride of a heatmap pixel (SHIFT_HEATMAP of the official HRNet code; UDP, Huang et al.,
    CVPR 2020, section 3).
    """
    heatmaps = model(paddle.concat([images, images.flip(axis=3)]))
    # In an exported graph the batch has no size yet, so that it cannot be cut in two; but it can be folded.
    plain, mirrored = heatmaps.reshape([2, -1, *heatmaps.shape[1:]]).unbind()
    order = list(range(heatmaps.shape[1]))
    for left, right in flip_pairs:
        order[left], order[right] = right, left
    mirrored = mirrored.flip(axis=3).index_select(paddle.to_tensor(order), axis=1)
    if shift_heatmap:
        mirrored = paddle.concat([mirrored[..., :1], mirrored[..., :-1]], axis=-1)
    return 0.5 * (plain + mirrored)
