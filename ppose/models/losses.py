"""Losses between heatmaps."""

import paddle

from ppose.workspace import register


@register(kind="loss")
class KeyPointMSELoss:
    """Mean squared error of heatmaps, each weighted by its keypoint's target_weight.

    With K keypoints, loss = loss_scale / K * sum_k mean_nyx (w[n,k] * (p[n,k,y,x] - t[n,k,y,x]))**2: the
    official HRNet code's JointsMSELoss with loss_scale 0.5, and PaddleDetection's KeyPointMSELoss. All
    keypoints have as many pixels, so it is one mean over everything.
    """

    def __init__(self, use_target_weight: bool = True, loss_scale: float = 0.5) -> None:
        self.use_target_weight = use_target_weight
        self.loss_scale = loss_scale

    def __call__(
        self, heatmaps: paddle.Tensor, target: paddle.Tensor, target_weight: paddle.Tensor
    ) -> paddle.Tensor:
        """Heatmaps and target (N, K, H, W), target_weight (N, K, 1) -> a scalar."""
        error = heatmaps - target
        if self.use_target_weight:
            error = error * target_weight.unsqueeze(-1)
        return self.loss_scale * error.square().mean()
