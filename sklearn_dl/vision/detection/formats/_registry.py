"""All formats by name, and the choice of a format by "auto"."""

from sklearn_dl.vision.detection.formats._base import Format
from sklearn_dl.vision.detection.formats._decoded import Yolov5, Yolov6, YoloxDecoded
from sklearn_dl.vision.detection.formats._paddle import PicoDet, PpYoloe
from sklearn_dl.vision.detection.formats._ssd import Ssd
from sklearn_dl.vision.detection.formats._transformers import Detr, RtDetr, RtDetrDecoded
from sklearn_dl.vision.detection.formats._ultralytics import (
    Yolov8,
    Yolov8Pose,
    Yolov8Seg,
    Yolov10,
)
from sklearn_dl.vision.detection.formats._yolov2 import Yolov2
from sklearn_dl.vision.detection.formats._yolox import Yolox

_ALL: tuple[Format, ...] = (
    Yolov2(),
    Yolov5(),
    Yolov6(),
    Yolov8(),
    Yolov8Seg(),
    Yolov8Pose(),
    Yolov10(),
    Yolox(),
    YoloxDecoded(),
    PpYoloe(),
    PicoDet(),
    Ssd(),
    Detr(),
    RtDetr(),
    RtDetrDecoded(),
)
FORMATS = {one.name: one for one in _ALL}


def fitting_formats(facts):
    """Return the names of the formats that match the shapes, if they use their default anchors.

    Parameters
    ----------
    facts : OutputFacts
    """
    facts = facts._replace(anchors=None)
    return [name for name, one in FORMATS.items() if one.choose(facts) is not None]


def choose_format(facts, size_for):
    """Return the only format that agrees with the outputs and the file's metadata.

    Parameters
    ----------
    facts : OutputFacts
        Its `size` is not used.
    size_for : callable(Format) -> (width, height)
        Size of the network's input with the defaults of a format.

    Raises
    ------
    ValueError
        If no format agrees, or several do.
    """
    by_format = {name: facts._replace(size=size_for(one)) for name, one in FORMATS.items()}
    fits = [name for name, one in FORMATS.items() if one.choose(by_format[name]) is not None]
    likely = [name for name in fits if _agrees(FORMATS[name], by_format[name])]
    if len(likely) == 1:
        return FORMATS[likely[0]]
    seen = ", ".join(f"{name!r} {shape}" for name, shape in facts.shapes.items())
    start = f'format="auto" cannot find the format: the outputs of one image are {seen}, and '
    if likely:
        raise ValueError(f"{start}these formats match: {likely}. Set `format` to one of them.")
    if fits:
        labels = ""
        if facts.n_labels is not None:
            counts = {name: _n_classes(FORMATS[name], by_format[name]) for name in fits}
            labels = f" There are {facts.n_labels} labels; numbers of classes by format: {counts}."
        raise ValueError(
            f"{start}by their shapes alone, these formats match: {fits}; but the names of the "
            "outputs, the number of labels, `anchors` or the file's metadata contradict them."
            f"{labels} Set `format` to one of them if it is right, or to a callable that decodes "
            "the outputs."
        )
    expected = "; ".join(f"{name!r}: {one.expects}" for name, one in FORMATS.items())
    raise ValueError(
        f"{start}no format matches, so set `format` to a callable that decodes them. The formats "
        f"expect {expected}."
    )


def _agrees(one, facts):
    """Whether names, metadata, labels and anchors agree with a format whose shapes match."""
    if not one.is_likely(facts) or (facts.anchors is not None and one.anchors is None):
        return False
    return facts.n_labels is None or _n_classes(one, facts) in (None, facts.n_labels)


def _n_classes(one, facts):
    """Return the number of classes with a format whose shapes match; None if it is not known."""
    return one.n_classes(facts, one.choose(facts))
