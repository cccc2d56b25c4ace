"""Annotations of YOLO: one text file for each image, and a list of classes."""

import os
import re

from sklearn_dl.datasets._annotated import AnnotatedImage, Annotations, Box, number
from sklearn_dl.datasets._files import files_below, files_in, image_extensions, read_lines
from sklearn_dl.datasets._yolo_config import YoloConfig
from sklearn_dl.images._files import checked_path
from sklearn_dl.utils._columns import counted
from sklearn_dl.utils._messages import brief

_LARGEST_LABELS = 2**24
_LARGEST_LIST = 2**26
# like Ultralytics, accept values that are this far outside 0 to 1, because tools round
_TOLERANCE = 0.01


def read_yolo(folder, yaml=None, split=None, classes=None):
    """Read a folder of images and text files.

    Parameters
    ----------
    folder : str
        A path whose symbolic links are resolved.
    yaml : str or None
        Name of the YAML file in `folder`. None: the function searches for it.
    split : str or None
        A key of the YAML file or, without one, the name of a folder or of a list of images. None:
        all images.
    classes : list of str or None
        Names of the classes. None: those of the YAML file, or of ``classes.txt``.

    Returns
    -------
    annotations : Annotations
    """
    config = YoloConfig(folder, yaml, classes)
    label_folders: dict = {}
    annotated = []
    for name, place in _images(folder, config, split):
        directory, file = os.path.split(name)
        if directory not in label_folders:
            label_folders[directory] = _LabelFolder(folder, directory)
        text = label_folders[directory].text_of(file, place)
        boxes = [] if text is None else list(_boxes(folder, text, config))
        annotated.append(AnnotatedImage(name, place, None, boxes))
    _check_all_used(folder, split, label_folders)
    return Annotations(folder, annotated, config.names, relative=True)


def yolo_files(folder):
    """A file of YOLO in a folder, as a list with its path for messages; [] if there is none."""
    for name in YoloConfig.files(folder):
        return [os.path.join(folder, name)]
    texts = set(files_below(folder, {".txt"}))
    for name in files_below(folder, image_extensions()):
        directory, file = os.path.split(os.path.splitext(name)[0])
        for labels in (_labels_beside(directory), directory):
            text = os.path.join(labels, f"{file}.txt")
            if text in texts:
                return [os.path.join(folder, text)]
    return []


def _labels_beside(directory):
    """The folder of the labels for Ultralytics: the last "images" in the path becomes "labels"."""
    before, images, after = f"/{directory}/".rpartition("/images/")
    return f"{before}/labels/{after}".strip("/") if images else directory


def _has_images(folder):
    """Whether a folder has the layout of Ultralytics."""
    return os.path.isdir(os.path.join(folder, "images"))


def _images(folder, config, split):
    """Yield the path of each image, relative to `folder`, and where it is listed."""
    everything = ["images" if _has_images(folder) else "."]
    sources = everything if split is None else config.split(split)
    n_images = 0
    for source in sources:
        for name, place in _images_of(folder, source):
            n_images += 1
            yield name, place
    if not n_images:
        raise ValueError(f"There are no images in {[os.path.join(folder, s) for s in sources]}.")


def _images_of(folder, source):
    """Yield the images of a source, a folder or a file that lists images."""
    path = os.path.join(folder, source)
    if os.path.isdir(path):
        for name in files_below(path, image_extensions()):
            inside = os.path.normpath(os.path.join(source, name))
            yield inside, os.path.join(folder, inside)
        return
    for line, name in read_lines(folder, source, _LARGEST_LIST):
        place = f"{path}, line {line}"
        inside = os.path.join(os.path.dirname(source), name)
        try:
            checked_path(inside, folder)
        except ValueError as error:
            raise ValueError(f"{place}: {error}.") from error
        yield os.path.normpath(inside), place


class _LabelFolder:
    """The text files that belong to the images of one folder.

    Parameters
    ----------
    folder : str
        Folder of the data set.
    directory : str
        Folder of the images, relative to `folder`.
    """

    def __init__(self, folder, directory):
        self.images = os.path.join(folder, directory)
        beside = _labels_beside(directory)
        self.labels = beside if os.path.isdir(os.path.join(folder, beside)) else directory
        self.texts = set(files_in(os.path.join(folder, self.labels), {".txt"}))
        self.by_stem: dict = {}
        for image in files_in(self.images, image_extensions()):
            self.by_stem.setdefault(os.path.splitext(image)[0], []).append(image)
        if self.by_stem and not any(f"{stem}.txt" in self.texts for stem in self.by_stem):
            looked = os.path.join(folder, self.labels)
            raise ValueError(
                f"No image of {self.images} has a text file in {looked}. (An empty text file marks "
                "an image without objects.)"
            )

    def text_of(self, image, place):
        """The text file of an image, relative to the folder of the data set, or None."""
        stem = os.path.splitext(image)[0]
        if f"{stem}.txt" not in self.texts:
            return None
        same = self.by_stem.get(stem, [])
        if len(same) > 1:
            raise ValueError(
                f"{place}: {stem}.txt could describe each of {same}, which are in {self.images}."
            )
        return os.path.join(self.labels, f"{stem}.txt")


def _check_all_used(folder, split, label_folders):
    """Raise an error if a text file describes boxes, but its image does not exist."""
    folders = label_folders.values()
    used = {os.path.join(f.labels, f"{stem}.txt") for f in folders for stem in f.by_stem}
    texts = {os.path.join(f.labels, text) for f in folders for text in f.texts}
    if split is None:
        top = "labels" if _has_images(folder) else "."
        if os.path.isdir(os.path.join(folder, top)):
            below = files_below(os.path.join(folder, top), {".txt"})
            texts.update(os.path.normpath(os.path.join(top, text)) for text in below)
    for text in sorted(texts - used):
        lines = read_lines(folder, text, _LARGEST_LIST)
        first = next((line for _, line in lines), "")
        if re.fullmatch(r"[\d.]+(\s+[-+.\de]+){4,}", first):
            raise FileNotFoundError(
                f"{os.path.join(folder, text)} describes boxes, but its image does not exist."
            )


def _boxes(folder, text, config):
    """Yield the boxes of a text file, in fractions of the width and height."""
    for line, content in read_lines(folder, text, _LARGEST_LABELS):
        place = f"{os.path.join(folder, text)}, line {line}"
        first, *values = (number(part, place) for part in content.split())
        if not (first.is_integer() and 0 <= first < len(config.names)):
            raise ValueError(
                f"{place}: the class {first:g} is not the index of one of the "
                f"{len(config.names)} class names."
            )
        edges = _edges(values, config.n_keypoint_values, place)
        if not all(-_TOLERANCE <= value <= 1 + _TOLERANCE for value in values):
            raise ValueError(
                f"{place}: {brief(content)} has values outside 0 to 1. YOLO uses fractions of the "
                "width and height, not pixels."
            )
        yield Box(config.names[int(first)], edges, place)


def _edges(values, n_keypoint_values, place):
    """Convert the numbers of a line, without the class, to edges x0, y0, x1, y1."""
    if len(values) == 4 + n_keypoint_values:
        x, y, width, height = values[:4]
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if n_keypoint_values or len(values) < 6 or len(values) % 2:
        wanted = "5 (class, center x, center y, width, height)"
        if n_keypoint_values:
            wanted += f" and {n_keypoint_values} of the keypoints"
        else:
            wanted += ", or the class and the x, y of 3 or more points of a polygon"
        raise ValueError(f"{place} has {counted(len(values) + 1, 'number')}, but needs {wanted}.")
    x, y = values[0::2], values[1::2]
    return min(x), min(y), max(x), max(y)
