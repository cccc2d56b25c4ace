"""DetectionCollector: keeps the detections of each batch that a detector's graph has scored."""

from typing import Any

from sklearn_dl.images import ImageReadError
from sklearn_dl.utils._messages import NotFiniteError, RowError
from sklearn_dl.vision._finite import of_row


class DetectionCollector:
    """Decodes the outputs of each batch, and keeps only the detections.

    Parameters
    ----------
    images : sequence of LazyImage
    specs : sequence of TensorSpec
        The graph's outputs.
    reader : Reader
    numbers : sequence of int or None, default=None
        Row numbers of `images`, for messages. None: their positions.
    """

    def __init__(self, images, specs, reader, numbers=None):
        self.images = images
        self.numbers = range(len(images)) if numbers is None else numbers
        self.names = [spec.name for spec in specs]
        self.reader = reader
        self.errors: dict[int, RowError] = {}
        self.detections: list[Any] = [None] * len(images)

    def add(self, rows, outputs, n_fed):
        """Keep the detections of some rows. `n_fed` is the size of the batch given to the graph."""
        for name, output in zip(self.names, outputs, strict=True):
            if len(output) != n_fed:
                raise ValueError(
                    f"The output {name!r} has shape {output.shape} for a batch of {n_fed} images, "
                    "but one result per image is needed. Export the detector without non-maximum "
                    "suppression."
                )
        for position, row in enumerate(rows):
            arrays = {n: output[position] for n, output in zip(self.names, outputs, strict=True)}
            image, number = self.images[row], self.numbers[row]
            try:
                size = image.size_as_read()
            except ImageReadError as error:  # the file was removed after its pixels were read
                raise error.at(number) from error
            try:
                self.detections[row] = self.reader.detections(arrays, size)
            except NotFiniteError as error:
                named = of_row(number, image, error.message)
                if image.decoding.on_error == "raise":
                    raise named from error
                self.errors[row] = named
            except ValueError as error:
                error.add_note(f"Row {number}")
                raise
