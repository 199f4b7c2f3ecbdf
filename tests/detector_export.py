"""A detector in PaddleDetection's form that finds one person, always in the same place."""

import numpy as np
import yaml


def write_detector(folder, bbox_xyxy, score=0.9):
    """Write the export to a folder; returns the folder."""
    import paddle

    class Whole(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            box = paddle.nn.initializer.Assign(np.array([[0, score, *bbox_xyxy]], "float32"))
            self.box = self.create_parameter([1, 6], default_initializer=box)

        def forward(self, image, scale_factor):
            return self.box + 0 * image.mean() + 0 * scale_factor.mean(), paddle.ones([1], "int32")

    spec = [
        paddle.static.InputSpec([None, 3, 64, 64], "float32", "image"),
        paddle.static.InputSpec([None, 2], "float32", "scale_factor"),
    ]
    paddle.jit.save(paddle.jit.to_static(Whole(), spec, full_graph=True), str(folder / "model"))
    cfg = {
        "Preprocess": [
            {"type": "Resize", "target_size": [64, 64], "keep_ratio": False},
            {"type": "NormalizeImage", "mean": [0, 0, 0], "std": [1, 1, 1]},
            {"type": "Permute"},
        ],
        "label_list": ["person"],
    }
    (folder / "infer_cfg.yml").write_text(yaml.safe_dump(cfg))
    return folder
