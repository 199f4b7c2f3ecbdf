"""Boxes and image warps; poses in space are in `ppose.geometry.pnp`."""

from ppose.geometry.planar import (
    bbox_xywh_to_center_scale,
    bbox_xywh_to_xyxy,
    bbox_xyxy_to_xywh,
    clip_boxes_xywh,
    get_udp_warp_matrix,
    get_warp_matrix,
    invert_warp,
    mirror_warp,
    transform_points,
    warp_of_reduced,
)

__all__ = [
    "bbox_xywh_to_center_scale",
    "bbox_xywh_to_xyxy",
    "bbox_xyxy_to_xywh",
    "clip_boxes_xywh",
    "get_udp_warp_matrix",
    "get_warp_matrix",
    "invert_warp",
    "mirror_warp",
    "transform_points",
    "warp_of_reduced",
]
