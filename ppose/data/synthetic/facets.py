"""Solids of flat facets in a pinhole camera: which facet each pixel shows, and which points are hidden.

The camera is at the origin and looks along z; x is right and y down, as in the image. A facet is a convex
quadrilateral whose corners run counter-clockwise seen from outside.
"""

import numpy as np


def project(points: np.ndarray, focal_length: float, principal_point: np.ndarray) -> np.ndarray:
    """Points (..., 3) before the camera -> pixels (..., 2): f (x / z, y / z) + principal point."""
    return focal_length * points[..., :2] / points[..., 2:] + principal_point


def find_normals(corners: np.ndarray) -> np.ndarray:
    """The outward unit normals (Q, 3) of facets (Q, 4, 3) given in the camera's frame."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0])
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def rasterize(
    corners: np.ndarray, focal_length: float, principal_point: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """For each pixel the nearest facet of (Q, 4, 3) that faces the camera, from 1, or 0: (H, W) uint8.

    A pixel belongs to a facet if its center lies on the inner side of the four edges. The inverse depth of a
    plane n . p = d there is n . (u, v, 1) / d, with u = x / z and v = y / z of the pixel.
    """
    width, height = size
    normals = find_normals(corners)
    offsets = (normals * corners[:, 0]).sum(axis=1)
    outlines = project(corners, focal_length, principal_point)
    nearest, shown = np.zeros((height, width)), np.zeros((height, width), np.uint8)
    for index in np.flatnonzero(offsets < 0):
        outline = outlines[index]
        low = np.floor(outline.min(axis=0)).clip(0, size).astype(int)
        high = np.ceil(outline.max(axis=0) + 1).clip(0, size).astype(int)
        x, y = np.arange(low[0], high[0]), np.arange(low[1], high[1])[:, None]
        edges = np.roll(outline, -1, axis=0) - outline
        sides = [dx * (y - y0) - dy * (x - x0) for (dx, dy), (x0, y0) in zip(edges, outline, strict=True)]
        a, b, c = normals[index] / offsets[index]
        u, v = (x - principal_point[0]) / focal_length, (y - principal_point[1]) / focal_length
        inverse = a * u + b * v + c
        window = slice(low[1], high[1]), slice(low[0], high[0])
        # Seen from the camera, with y down, the corners run the other way round.
        nearer = (np.max(sides, axis=0) <= 0) & (inverse > nearest[window])
        nearest[window][nearer] = inverse[nearer]
        shown[window][nearer] = index + 1
    return shown


def find_hidden(points: np.ndarray, corners: np.ndarray, tolerance: float) -> np.ndarray:
    """Which of the points (K, 3) lie behind a facet of (Q, 4, 3) by more than ``tolerance``: (K,) bool.

    The ray from the camera to a point meets a facet's plane n . p = d at the share d / (n . point) of its
    way; there it is inside the facet where it is on the same side of all four edges.
    """
    normals = find_normals(corners)
    offsets = (normals * corners[:, 0]).sum(axis=1)
    slopes = points @ normals.T
    shares = np.divide(offsets, slopes, out=np.full_like(slopes, np.inf), where=np.abs(slopes) > 1e-12)
    before = (shares > 0) & ((1 - shares) * np.linalg.norm(points, axis=1)[:, None] > tolerance)
    hits = np.where(before, shares, 0)[..., None] * points[:, None]
    edges = np.roll(corners, -1, axis=1) - corners
    sides = (np.cross(edges, hits[:, :, None] - corners) * normals[:, None]).sum(axis=-1)
    return (before & (sides >= 0).all(axis=-1)).any(axis=1)
