"""Keypoint sets: what the keypoints of a dataset are called, how they mirror, connect and count in OKS."""

from ppose.keypoints.builtin import BUILTIN_SETS, get_keypoint_set
from ppose.keypoints.keypoint_set import KeypointSet, make_keypoint_set

__all__ = ["BUILTIN_SETS", "KeypointSet", "get_keypoint_set", "make_keypoint_set"]
