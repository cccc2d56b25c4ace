"""A tiny ONNX graph whose outputs are feature maps."""

import numpy as np
from onnx import helper, numpy_helper

from tests.vision.detection.detectors import model


def map_graph(batch="N", dtype=np.float32):
    """Two random convolutions: maps of 8 channels and the strides 8 and 16."""
    draw = np.random.default_rng(0).normal
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weights = {
        "first": draw(0, 0.1, (8, 3, 8, 8)).astype(dtype),
        "second": draw(0, 0.2, (8, 8, 2, 2)).astype(dtype),
    }
    value = helper.make_tensor_value_info
    return model(
        [
            helper.make_node("Conv", ["image", "first"], ["a"], strides=[8, 8]),
            helper.make_node("Relu", ["a"], ["fine"]),
            helper.make_node("Conv", ["fine", "second"], ["b"], strides=[2, 2]),
            helper.make_node("Relu", ["b"], ["coarse"]),
        ],
        [value("image", kind, [batch, 3, "H", "W"])],
        [value(name, kind, [batch, 8, None, None]) for name in ("fine", "coarse")],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
