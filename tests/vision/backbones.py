"""Image networks with random weights, small enough to train in a test, and images."""

from pathlib import Path

import numpy as np
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from tests.vision.detection.detectors import model

SIZE = 16


def tiny_module(seed=0):
    """Two blocks of convolution and batch normalisation, to maps of 8 features."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 6, 3, stride=2),
            torch.nn.BatchNorm2d(6),
            torch.nn.ReLU(),
            torch.nn.Conv2d(6, 8, 3),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
        )
        for module in network:
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
    return network


def versioned_module():
    return tiny_module()


versioned_module.version = "1"


class OtherModule(torch.nn.Module):
    """Without lists: two layers, features that are no maps, dropout."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3, stride=4)
        self.norm = torch.nn.BatchNorm2d(4)
        self.dropout = torch.nn.Dropout(0.5)
        self.second = torch.nn.Linear(4, 5)

    def forward(self, pixels):
        return self.second(self.dropout(self.norm(self.first(pixels)).relu().mean((2, 3))))


def other_module():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return OtherModule()


FOLDERS = {
    "resnet": (
        transformers.ResNetForImageClassification,
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
        16,
        3,
    ),
    "vit": (
        transformers.ViTForImageClassification,
        {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "image_size": SIZE,
            "patch_size": 8,
        },
        16,
        3,
    ),
    "convnext": (
        transformers.ConvNextForImageClassification,
        {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
        16,
        None,
    ),
    "mobilenet_v2": (
        transformers.MobileNetV2ForImageClassification,
        {"depth_multiplier": 0.1, "image_size": SIZE},
        None,
        None,
    ),
}


def tiny_folder(folder, kind="resnet", seed=0, preprocessor=None):
    """An image classifier of one of FOLDERS, saved in `folder` in transformers' format."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model_class, settings, *_ = FOLDERS[kind]
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = model_class(model_class.config_class(num_labels=7, **settings))
    network.config.architectures = [model_class.__name__]
    network.config.save_pretrained(folder)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(preprocessor)
    return folder


def mean_color_graph(outputs=("features",), fixed=None):
    """The mean of each channel as features; further outputs are the same."""
    size = fixed or ["H", "W"]
    nodes = [
        helper.make_node("ReduceMean", ["image"], [name], axes=[2, 3], keepdims=0)
        for name in outputs
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in outputs]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, *size])
    return model(nodes, [image], values, [])


def feature_map_graph(stride=1, size=("H", "W")):
    """Maps of two features: what is red, what is green, in each cell of `stride` pixels."""
    weights = np.zeros((2, 3, stride, stride), np.float32)
    weights[[0, 1], [0, 1]] = 1 / stride**2
    node = helper.make_node("Conv", ["image", "weights"], ["maps"], strides=[stride, stride])
    return model(
        [node],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, *size])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["N", 2, "h", "w"])],
        [numpy_helper.from_array(weights, "weights")],
    )


def colored_images(n=24, seed=0, size=SIZE):
    """Noise in which one channel is lighter, and which: n arrays, n labels."""
    rng = np.random.default_rng(seed)
    images, labels = [], []
    for i in range(n):
        image = rng.integers(0, 160, (size, size, 3), dtype=np.uint8)
        image[..., i % 3] += 60
        images.append(image)
        labels.append("rgb"[i % 3])
    return images, np.array(labels)
