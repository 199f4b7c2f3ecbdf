"""Outputs of detectors of all families: the same two people, one of another class, doubles."""

import numpy as np

# In the input of 64x64: left, top, right, bottom, score, class. The second is the first one's double.
THINGS = [
    (8.0, 16.0, 24.0, 48.0, 0.9, 0),
    (7.0, 16.0, 23.0, 47.0, 0.8, 0),
    (32.0, 20.0, 44.0, 44.0, 0.7, 0),
    (36.0, 16.0, 60.0, 28.0, 0.95, 1),
    (40.0, 40.0, 60.0, 60.0, 0.3, 0),
]


STRIDE8 = 8  # all are in the first map, of 8x8 cells


CELLS = {8: 64, 16: 16, 32: 4, 64: 1}


def cell_of(box):
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return int(y // STRIDE8) * 8 + int(x // STRIDE8), x, y


def make_centers(rows, columns, *, objectness, raw=False):
    """Rows of center x, y, width, height, perhaps objectness, scores of two classes."""
    output = np.zeros((rows, columns), np.float32)
    if raw:
        output[:, 2:4] = -5
    for left, top, right, bottom, score, kind in THINGS:
        index, x, y = cell_of((left, top, right, bottom))
        place = [x, y, right - left, bottom - top]
        if raw:
            column, row = index % 8, index // 8
            place = [x / 8 - column, y / 8 - row, *np.log([(right - left) / 8, (bottom - top) / 8])]
        scores = np.zeros(2)
        scores[kind] = score / 0.96 if objectness else score
        output[index] = [*place, *([0.96] if objectness else []), *scores]
    return output


def make_yolox(decoded):
    output = make_centers(84, 7, objectness=True, raw=not decoded)
    if decoded:  # centers near their cells, as networks have them
        at = 0
        for stride in (8, 16, 32):
            for row in range(64 // stride):
                for column in range(64 // stride):
                    if not output[at, 4]:
                        output[at, :2] = (column + 0.5) * stride, (row + 0.5) * stride
                    at += 1
    return [output]


def make_rows():
    return np.array([[*box[:5], box[5]] for box in THINGS[:1] + THINGS[2:]] + [[0] * 6] * 3, np.float32)


def make_picodet(logits=False):
    """Distances as distributions over 8 bins: halves of two neighbours."""
    scores = [np.full((CELLS[s], 2), -20.0 if logits else 0.0, np.float32) for s in (8, 16, 32, 64)]
    bins = [np.full((CELLS[s], 32), -30, np.float32) for s in (8, 16, 32, 64)]
    for *box, score, kind in THINGS:
        index, _, _ = cell_of(box)
        x, y = (index % 8 + 0.5) * 8, (index // 8 + 0.5) * 8
        scores[0][index, kind] = np.log(score / (1 - score)) if logits else score
        for side, pixels in enumerate((x - box[0], y - box[1], box[2] - x, box[3] - y)):
            low, share = divmod(pixels / 8, 1)
            bins[0][index, side * 8 + int(low)] = np.log(1 - share)
            bins[0][index, side * 8 + int(low) + 1] = np.log(share) if share else -30
    return scores + bins


def make_rtmdet():
    scores = [np.full((2, 64 // s, 64 // s), -9, np.float32) for s in (8, 16, 32)]
    distances = [np.full((4, 64 // s, 64 // s), 1, np.float32) for s in (8, 16, 32)]
    for *box, score, kind in THINGS:
        index, _, _ = cell_of(box)
        x, y = index % 8 * 8, index // 8 * 8
        scores[0][kind, index // 8, index % 8] = np.log(score / (1 - score))
        distances[0][:, index // 8, index % 8] = x - box[0], y - box[1], box[2] - x, box[3] - y
    return scores + distances


ROWS = make_rows()


FAMILIES = {
    "yolox": (make_yolox(False), "YOLOX (decoded here)", "corner"),
    "yolox_decoded": (make_yolox(True), "YOLOX (decoded in the graph)", "corner"),
    "yolov8": ([make_centers(84, 6, objectness=False).T], "YOLOv8", "centered"),
    "yolov5": ([make_centers(252, 7, objectness=True)], "YOLOv5", "centered"),
    "end_to_end": ([ROWS], "YOLO with NMS", "centered"),
    "picodet": (make_picodet(), "PicoDet's heads", "stretched"),
    "picodet_logits": (make_picodet(logits=True), "PicoDet's heads", "stretched"),
    "rtmdet_heads": (make_rtmdet(), "RTMDet's heads", "corner"),
    "rtmdet_end2end": ([ROWS[:, :5], ROWS[:, 5].astype(int)], "mmdeploy's detector with NMS", "corner"),
    "yolox_counted": (
        [np.array([4]), ROWS[:, :4], ROWS[:, 4], ROWS[:, 5].astype(int)],
        "mmyolo's detector with NMS",
        "corner",
    ),
}
