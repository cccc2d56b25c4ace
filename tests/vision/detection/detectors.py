"""Tiny detectors in ONNX: constant ones, and one that finds coloured squares."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def model(nodes, inputs, outputs, initializers):
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString()


def constant_detector(outputs, size=(64, 64), batch="N", dtype=np.float32, layout="NCHW", open_=()):
    """A graph that gives the same outputs for every image.

    `outputs` maps names to arrays without the batch axis; those in `open_` state no shape.
    """
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    shape = [batch, 3, size[1], size[0]] if layout == "NCHW" else [batch, size[1], size[0], 3]
    zero = np.zeros((), dtype)
    nodes, initializers = [], [numpy_helper.from_array(zero, "zero")]
    values = []
    for i, (name, array) in enumerate(outputs.items()):
        array = np.asarray(array, dtype=dtype)
        initializers += [
            numpy_helper.from_array(array[None], f"constant{i}"),
            numpy_helper.from_array(np.array([-1] + [1] * array.ndim, np.int64), f"shape{i}"),
        ]
        nodes += [
            helper.make_node("ReduceMean", ["image"], [f"mean{i}"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Mul", [f"mean{i}", "zero"], [f"nothing{i}"]),
            helper.make_node("Reshape", [f"nothing{i}", f"shape{i}"], [f"column{i}"]),
            helper.make_node("Add", [f"column{i}", f"constant{i}"], [name]),
        ]
        stated = [None] * array.ndim if name in open_ else list(array.shape)
        values.append(helper.make_tensor_value_info(name, kind, [batch, *stated]))
    image = helper.make_tensor_value_info("image", kind, shape)
    return model(nodes, [image], values, initializers)


ANCHORS = ((1.0, 1.0), (3.0, 3.0))


def color_detector(batch="N", side=320):
    """Finds cells of 32 pixels that are red, green or blue, in YOLOv2's format with two anchors.

    A cell's object is as large as the cell (the first anchor); the second anchor finds nothing.
    """
    # per anchor: x, y, w, h, objectness, three classes; 0 is the middle of the cell
    weights, bias = np.zeros((16, 3, 1, 1), np.float32), np.zeros(16, np.float32)
    weights[4] = 0.1  # any colour: 255 * 0.1 - 20 = 5.5
    bias[4], bias[12] = -20.0, -50.0
    for color in range(3):
        weights[5 + color, color] = 0.1
    rows = side // 32
    return model(
        [
            helper.make_node(
                "AveragePool", ["image"], ["cells"], kernel_shape=[32, 32], strides=[32, 32]
            ),
            helper.make_node("Conv", ["cells", "weights", "bias"], ["grid"]),
        ],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info("grid", TensorProto.FLOAT, [batch, 16, rows, rows])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )


def squares(*cells, size=(320, 320), n_cells=10):
    """A black image with coloured cells: (color, column, row) each."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    width, height = size[0] // n_cells, size[1] // n_cells
    for color, column, row in cells:
        where = np.s_[row * height : (row + 1) * height, column * width : (column + 1) * width]
        image[where][..., color] = 255
    return image
