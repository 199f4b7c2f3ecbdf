"""Losses between predicted and target heatmaps (N, K, H, W), with a target_weight (N, K, 1) per keypoint.

Each returns ``loss_scale`` times a mean; without ``use_target_weight`` every keypoint has weight 1.
"""

from typing import Protocol

import paddle
from paddle.nn import functional as F

from ppose.errors import ConfigError
from ppose.workspace import register


class Loss(Protocol):
    """A distance of heatmaps from their targets."""

    def __call__(
        self, heatmaps: paddle.Tensor, target: paddle.Tensor, target_weight: paddle.Tensor
    ) -> paddle.Tensor:
        """Heatmaps and target (N, K, H, W), target_weight (N, K, 1) -> a scalar, all float32."""


@register(Loss)
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


@register(Loss)
class KeyPointOHKMMSELoss:
    """Mean squared error of each person's ``topk`` worst keypoints (online hard keypoint mining).

    Chen et al., Cascaded Pyramid Network, CVPR 2018: with e[n,k] = mean_yx (w[n,k] * (p - t)[n,k,y,x])**2,
    loss = loss_scale / N * sum_n mean of the ``topk`` largest e[n,:]. The official HRNet code's
    JointsOHKMMSELoss with loss_scale 0.5; only the chosen keypoints get gradients.
    """

    def __init__(self, use_target_weight: bool = True, loss_scale: float = 0.5, topk: int = 8) -> None:
        if topk < 1:
            raise ConfigError(f"KeyPointOHKMMSELoss.topk: got {topk}, expected 1 or more")
        self.use_target_weight = use_target_weight
        self.loss_scale = loss_scale
        self.topk = topk

    def __call__(
        self, heatmaps: paddle.Tensor, target: paddle.Tensor, target_weight: paddle.Tensor
    ) -> paddle.Tensor:
        """Heatmaps and target (N, K, H, W), target_weight (N, K, 1) -> a scalar; ConfigError if topk > K."""
        if self.topk > heatmaps.shape[1]:
            raise ConfigError(
                f"KeyPointOHKMMSELoss.topk is {self.topk}, but there are {heatmaps.shape[1]} keypoints; "
                "set it to that or less"
            )
        error = heatmaps - target
        if self.use_target_weight:
            error = error * target_weight.unsqueeze(-1)
        hardest, _ = error.square().mean(axis=[2, 3]).topk(self.topk, axis=1)
        return self.loss_scale * hardest.mean()


@register(Loss)
class KeyPointSmoothL1Loss:
    """Smooth L1 loss of heatmaps (Girshick, Fast R-CNN, ICCV 2015): outliers count less than with squares.

    loss = loss_scale * mean w[n,k] * f(p - t) with f(d) = d**2 / (2 beta) where |d| < beta, |d| - beta / 2
    elsewhere. Heatmaps lie in 0 to 1, so with beta >= 1 this is half the squared error over beta.
    """

    def __init__(self, use_target_weight: bool = True, loss_scale: float = 1.0, beta: float = 0.1) -> None:
        if not beta > 0:
            raise ConfigError(f"KeyPointSmoothL1Loss.beta: got {beta}, expected a number above 0")
        self.use_target_weight = use_target_weight
        self.loss_scale = loss_scale
        self.beta = beta

    def __call__(
        self, heatmaps: paddle.Tensor, target: paddle.Tensor, target_weight: paddle.Tensor
    ) -> paddle.Tensor:
        """Heatmaps and target (N, K, H, W), target_weight (N, K, 1) -> a scalar."""
        # Paddle computes Huber's loss, which is beta times as large.
        loss = F.smooth_l1_loss(heatmaps, target, reduction="none", delta=self.beta) / self.beta
        if self.use_target_weight:
            loss = loss * target_weight.unsqueeze(-1)
        return self.loss_scale * loss.mean()


@register(Loss)
class KeyPointAdaptiveWingLoss:
    """Adaptive wing loss (Wang et al., ICCV 2019): small errors count more near a peak than far from it.

    loss = loss_scale * mean w[n,k] * f(|p - t|, t), with the paper's equation 3, for targets in 0 to 1:

        f(d, t) = omega * ln(1 + (d / epsilon)**(alpha - t))    where d < theta
                  A * d - C                                     elsewhere

    A(t) is the first line's slope at d = theta, and C makes the two lines meet there. The paper's weight map,
    which adds weight around the peaks, is not included.
    """

    def __init__(
        self,
        use_target_weight: bool = True,
        loss_scale: float = 1.0,
        alpha: float = 2.1,
        omega: float = 14.0,
        epsilon: float = 1.0,
        theta: float = 0.5,
    ) -> None:
        if not alpha > 2:  # (d / epsilon)**(alpha - t) needs an exponent above 1 to be smooth at d = 0
            raise ConfigError(f"KeyPointAdaptiveWingLoss.alpha: got {alpha}, expected a number above 2")
        if not all(number > 0 for number in (omega, epsilon, theta)):
            raise ConfigError(
                f"KeyPointAdaptiveWingLoss: got omega {omega}, epsilon {epsilon} and theta {theta}, expected "
                "numbers above 0"
            )
        self.use_target_weight = use_target_weight
        self.loss_scale = loss_scale
        self.alpha, self.omega, self.epsilon, self.theta = alpha, omega, epsilon, theta

    def __call__(
        self, heatmaps: paddle.Tensor, target: paddle.Tensor, target_weight: paddle.Tensor
    ) -> paddle.Tensor:
        """Heatmaps and target (N, K, H, W), target_weight (N, K, 1) -> a scalar."""
        exponent = self.alpha - target
        distance = (heatmaps - target).abs()
        # The second line is the first one's value at theta, plus slope * (distance - theta). Each line gets
        # only its own part of the distance, so that neither overflows where the other one applies.
        within = distance.clip(max=self.theta)
        beyond = distance - within
        at_theta = (self.theta / self.epsilon) ** exponent
        slope = self.omega * exponent * at_theta / (1 + at_theta) / self.theta
        loss = self.omega * ((within / self.epsilon) ** exponent).log1p() + slope * beyond
        if self.use_target_weight:
            loss = loss * target_weight.unsqueeze(-1)
        return self.loss_scale * loss.mean()
