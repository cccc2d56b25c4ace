"""DetectionDisplay: an image with the boxes of its detections."""

import numpy as np

from sklearn_dl.images import ImageLoader
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._optional import import_optional


class DetectionDisplay:
    """An image with the boxes, labels and scores of its detections.

    Use :meth:`from_predictions` to make and draw one.

    Parameters
    ----------
    image : LazyImage
    detections : structured ndarray of shape (n_objects,)
        The detections that :meth:`sklearn_dl.DetectionScorer.predict` returns for one image.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes
    boxes_ : list of matplotlib.patches.Rectangle
    texts_ : list of matplotlib.text.Text

    See Also
    --------
    sklearn_dl.DetectionScorer : Finds the objects.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dl.inspection import DetectionDisplay
    >>> from sklearn_dl.metrics import make_detections
    >>> image = np.zeros((60, 80, 3), dtype=np.uint8)
    >>> found = make_detections([[10, 20, 30, 50]], ["cat"], [0.9])
    >>> display = DetectionDisplay.from_predictions(image, found)
    >>> display.texts_[0].get_text()
    'cat 0.90'
    """

    def __init__(self, image, detections):
        self.image = image
        self.detections = detections

    @classmethod
    def from_predictions(cls, image, detections, *, ax=None):
        """Make a display from an image and its detections, and draw it.

        Parameters
        ----------
        image : path, bytes, PIL image, uint8 array or LazyImage
        detections : structured ndarray of shape (n_objects,)
            Boxes in pixels of the image, labels and scores. None, which stands for an image that
            could not be read, raises an error.
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw. None: in a new figure.

        Returns
        -------
        display : DetectionDisplay

        Raises
        ------
        ValueError
            If the image cannot be read, or `detections` lacks a field.
        ImportError
            If matplotlib is not installed.
        """
        fields = getattr(getattr(detections, "dtype", None), "names", None) or ()
        missing = {"x0", "y0", "x1", "y1", "score", "label"} - set(fields)
        if missing:
            raise ValueError(
                "`detections` must be the structured array that DetectionScorer.predict returns "
                f"for one image; the fields {sorted(missing)} are missing."
            )
        loader = ImageLoader().set_output(transform="default")
        return cls(loader.transform(object_array([image]))[0, 0], detections).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the image and its detections.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw. None: in a new figure.

        Returns
        -------
        display : DetectionDisplay
            This display, with `figure_`, `ax_`, `boxes_` and `texts_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        plt = import_optional("matplotlib.pyplot", extra="demo", purpose="DetectionDisplay")
        patches = import_optional("matplotlib.patches", extra="demo", purpose="DetectionDisplay")
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self.boxes_, self.texts_ = [], []
        pixels = np.asarray(self.image)
        # the edges of pixels, not their centers, are at whole numbers
        ax.imshow(pixels, cmap="gray", extent=(0, pixels.shape[1], pixels.shape[0], 0))
        ax.set_axis_off()
        colors = plt.get_cmap("tab10").colors
        labels = self.detections["label"].tolist()
        order = sorted(set(labels))
        # the best detection is drawn last, on top of the other boxes
        for found, label in zip(self.detections[::-1], labels[::-1], strict=True):
            color = colors[order.index(label) % len(colors)]
            corner, width = (found["x0"], found["y0"]), found["x1"] - found["x0"]
            box = patches.Rectangle(
                corner, width, found["y1"] - found["y0"], fill=False, edgecolor=color, linewidth=2
            )
            self.boxes_.append(ax.add_patch(box))
            text = ax.text(
                *corner,
                f"{label} {found['score']:.2f}",
                color="white",
                fontsize=8,
                verticalalignment="bottom",
                bbox={"facecolor": color, "edgecolor": "none", "pad": 1},
                parse_math=False,
            )
            self.texts_.append(text)
        return self
