"""Inputs of a detector's graph other than the image."""

import numpy as np

from sklearn_dl.images import ImageReadError
from sklearn_dl.images._faults import naming
from sklearn_dl.scoring._input_casts import cast, check_row_shape


def _target_size(geometry):
    """(width, height) of the network's input. The boxes are converted to the image later."""
    return geometry.input_size


def _pixel_mask(geometry):
    """Mask of the pixels of the network's input that show the image: bool, (height, width)."""
    width, height = geometry.input_size
    left, top, right, bottom = geometry.target
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def _input_shape(geometry):
    """(height, width) of the network's input."""
    return geometry.input_size[::-1]


def _scale_factor(geometry):
    """(1, 1), so that the network's boxes are in pixels of its input."""
    return 1.0, 1.0


# inputs whose values are computed from the geometry, by name
KNOWN_INPUTS = {
    "orig_target_sizes": _target_size,  # RT-DETR and D-FINE, as their authors export them
    "pixel_mask": _pixel_mask,  # DETR of transformers
    "im_shape": _input_shape,  # PaddleDetection
    "scale_factor": _scale_factor,  # PaddleDetection
}


class GeometrySource:
    """Source of the values of an input other than the image.

    Parameters
    ----------
    spec : TensorSpec
    value : callable(Geometry) or array-like
        The value for one image, without the batch dimension, or a function that returns it.
    images : sequence of LazyImage
    geometry : callable(image_size) -> Geometry
    numbers : sequence of int or None, default=None
        Row numbers of `images`, for messages. None: their positions.
    """

    shapes = None

    def __init__(self, spec, value, images, geometry, numbers=None):
        self.spec, self.value = spec, value
        self.name = f"extra_inputs[{spec.name!r}]"
        self.images, self.geometry = images, geometry
        self.numbers = range(len(images)) if numbers is None else numbers

    def read(self, rows):
        """Return the values of the rows that can be read, and the errors of the other rows."""
        values, errors = [], {}
        for row in rows:
            image, number = self.images[row], self.numbers[row]
            try:
                with naming(f"Row {number}"):
                    values.append(self._of_image(image))
            except ImageReadError as error:
                named = error.at(number)
                if image.decoding.on_error == "raise":
                    raise named from error
                errors[row] = named
        good = [self.numbers[row] for row in rows if row not in errors]
        batch = np.empty((0, *(size or 0 for size in self.spec.row_shape or ())))
        return cast(np.stack(values) if values else batch, self.spec, good, self.name), errors

    def _of_image(self, image):
        value = self.value
        if callable(value):
            value = value(self.geometry(image.size_as_read()))
        array = np.asarray(value)
        check_row_shape(array.shape, self.spec, name=self.name)
        return array
