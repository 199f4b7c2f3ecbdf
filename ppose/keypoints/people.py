"""The keypoints of people in published datasets."""

from ppose.keypoints.keypoint_set import KeypointSet

_COCO_LIMBS = (
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)
_COCO_LIMB_PAIRS = ((5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
_COCO_ARMS = ((5, 7), (7, 9), (6, 8), (8, 10))
_COCO_LEGS = ((11, 13), (13, 15), (12, 14), (14, 16))
_COCO_TRUNK = ((5, 6), (5, 11), (6, 12), (11, 12))
_COCO_FACE = ((0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6))
_COCO_FACE_SIGMAS = (0.026, 0.025, 0.025, 0.035, 0.035)
_COCO_LIMB_SIGMAS = (0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)

# Sigmas of cocodataset.org's keypoint evaluation; skeleton as in its annotation files.
COCO17 = KeypointSet(
    name="coco17",
    names=("nose", "left_eye", "right_eye", "left_ear", "right_ear", *_COCO_LIMBS),
    flip_pairs=((1, 2), (3, 4), *_COCO_LIMB_PAIRS),
    skeleton=(*_COCO_FACE, *_COCO_TRUNK, *_COCO_ARMS, *_COCO_LEGS),
    sigmas=(*_COCO_FACE_SIGMAS, *_COCO_LIMB_SIGMAS),
    upper_body=tuple(range(11)),
)

# MPII uses PCKh and has no sigmas: these are mmpose's, taken from COCO.
# Flip pairs and upper body as in the official HRNet code.
MPII16 = KeypointSet(
    name="mpii16",
    names=(
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("pelvis", "thorax", "upper_neck", "head_top"),
        *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    ),
    flip_pairs=((5, 0), (4, 1), (3, 2), (15, 10), (14, 11), (13, 12)),
    skeleton=(
        *((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9)),
        *((8, 12), (12, 11), (11, 10), (8, 13), (13, 14), (14, 15)),
    ),
    sigmas=(
        *(0.089, 0.083, 0.107, 0.107, 0.083, 0.089, 0.026, 0.026, 0.026, 0.026),
        *(0.062, 0.072, 0.179, 0.179, 0.072, 0.062),
    ),
    upper_body=tuple(range(7, 16)),
)

# Sigmas of CrowdPose's own evaluation code (Li et al., CVPR 2019).
CROWDPOSE14 = KeypointSet(
    name="crowdpose14",
    names=(*_COCO_LIMBS, "top_head", "neck"),
    flip_pairs=tuple((a - 5, b - 5) for a, b in _COCO_LIMB_PAIRS),
    skeleton=(
        *((a - 5, b - 5) for a, b in (*_COCO_TRUNK, *_COCO_ARMS, *_COCO_LEGS)),
        *((12, 13), (13, 0), (13, 1)),
    ),
    sigmas=(*_COCO_LIMB_SIGMAS, 0.079, 0.079),
    upper_body=(0, 1, 2, 3, 4, 5, 12, 13),
)

# PoseTrack18 writes 17 keypoints in COCO's layout but annotates 15: its files have the ears, always with
# visibility 0. They count neither in a loss nor in OKS against annotations, and predicted ears are
# meaningless, so no limb is drawn to them. Sigmas are mmpose's: COCO's by position.
POSETRACK18 = KeypointSet(
    name="posetrack18",
    names=("nose", "head_bottom", "head_top", "left_ear", "right_ear", *_COCO_LIMBS),
    flip_pairs=((3, 4), *_COCO_LIMB_PAIRS),
    skeleton=((0, 1), (0, 2), (1, 5), (1, 6), *_COCO_TRUNK, *_COCO_ARMS, *_COCO_LEGS),
    sigmas=COCO17.sigmas,
    upper_body=tuple(range(11)),
)

# Halpe's 26 body keypoints: COCO's, then head, neck, hip and feet; sigmas of its evaluation code.
HALPE26 = KeypointSet(
    name="halpe26",
    names=(
        *COCO17.names,
        *("head", "neck", "hip", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe"),
        *("left_heel", "right_heel"),
    ),
    flip_pairs=(*COCO17.flip_pairs, (20, 21), (22, 23), (24, 25)),
    skeleton=(
        *(*_COCO_FACE, *_COCO_ARMS, *_COCO_LEGS),
        *((17, 18), (18, 19), (18, 5), (18, 6), (19, 11), (19, 12)),
        *((15, 20), (15, 22), (15, 24), (16, 21), (16, 23), (16, 25)),
    ),
    sigmas=(*COCO17.sigmas, 0.026, 0.026, 0.066, *((0.079,) * 6)),
    upper_body=(*range(11), 17, 18),
)

# AI Challenger's 14. Sigmas are half the deltas of its evaluation code, measured separately for each side.
AIC14 = KeypointSet(
    name="aic14",
    names=(
        *("right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
        *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("head_top", "neck"),
    ),
    flip_pairs=((3, 0), (4, 1), (5, 2), (9, 6), (10, 7), (11, 8)),
    skeleton=(
        *((2, 1), (1, 0), (0, 13), (13, 3), (3, 4), (4, 5), (8, 7), (7, 6), (6, 9), (9, 10), (10, 11)),
        *((12, 13), (0, 6), (3, 9)),
    ),
    sigmas=(
        *(0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144),
        *(0.03909642, 0.03686941, 0.01981803, 0.03843971, 0.03412318, 0.02415081),
        *(0.01291456, 0.01236173),
    ),
    upper_body=(0, 1, 2, 3, 4, 5, 12, 13),
)
