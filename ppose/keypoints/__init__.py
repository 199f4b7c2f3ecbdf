"""Keypoint sets: names, mirror pairs, skeletons and OKS sigmas of a dataset's keypoints."""

from ppose.keypoints.builtin import BUILTIN_SETS, get_keypoint_set
from ppose.keypoints.keypoint_set import KeypointSet, make_keypoint_set

__all__ = ["BUILTIN_SETS", "KeypointSet", "get_keypoint_set", "make_keypoint_set"]
