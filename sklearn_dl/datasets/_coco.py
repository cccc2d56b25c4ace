"""Annotations of COCO: one JSON file for many images."""

import os
from pathlib import Path

from sklearn_dl.datasets._annotated import AnnotatedImage, Annotations, Box, check_label, number
from sklearn_dl.datasets._files import files_in
from sklearn_dl.datasets._json import JsonFormat
from sklearn_dl.images._files import open_file
from sklearn_dl.utils._messages import brief

_COCO = JsonFormat("COCO")
_ANNOTATIONS = "annotations"


def coco_files(folder):
    """Paths of the JSON files of COCO in a folder and in the folders directly inside it."""
    with os.scandir(folder) as entries:
        inner = sorted(e.path for e in entries if e.is_dir() and not e.name.startswith("."))
    paths = [
        os.path.join(parent, name)
        for parent in (folder, *inner)
        for name in files_in(parent, {".json"})
    ]
    # tools write other JSON files beside their annotations
    return [path for path in paths if _is_coco(path)]


def _is_coco(path):
    with open_file(path) as file:
        return b'"annotations"' in file.read()


def choose_coco(folder, split):
    """The only JSON file of a folder, or the only one of a split.

    The file of the split "train" is "train.json", has a name that ends with "_train.json", or is in
    the folder "train".
    """
    paths = coco_files(folder)
    chosen = [
        path
        for path in map(Path, paths)
        if split is None or path.parent.name == split or f"_{path.stem}".endswith(f"_{split}")
    ]
    if len(chosen) != 1:
        asked = "" if split is None else f" of split={split!r}"
        raise ValueError(
            f"{folder} has {len(chosen)} JSON files of COCO{asked}; pass the path of one. The "
            f"folder has these JSON files of COCO: {paths}."
        )
    return str(chosen[0])


def read_coco(path, images=None):
    """Read a JSON file.

    Parameters
    ----------
    path : str
        Absolute path.
    images : str or None
        Folder of the images. None: the function searches for it.

    Returns
    -------
    annotations : Annotations
    """
    content = _COCO.read(path)
    classes = _by_id(content, "categories", path)
    names = {
        identifier: check_label(category.get("name"), place)
        for identifier, (category, place) in classes.items()
    }
    annotated = {
        identifier: AnnotatedImage(
            _COCO.value(image, "file_name", place, str), place, _size(image, place), []
        )
        for identifier, (image, place) in _by_id(content, "images", path).items()
    }
    if not annotated:
        raise ValueError(f"{path} has no images.")
    crowds = []
    for annotation, place in _COCO.items(content, "annotations", path):
        image = _referred(annotated, annotation, "image_id", place, "images")
        label = _referred(names, annotation, "category_id", place, "categories")
        edges = _edges(annotation, place)
        is_crowd = annotation.get("iscrowd", 0)
        if is_crowd not in (0, 1):
            raise ValueError(f"{place}: iscrowd={brief(is_crowd)} must be 0 or 1.")
        if is_crowd:
            crowds.append(place)
        else:
            image.boxes.append(Box(label, edges, place))
    if images is None:
        images = _image_folder(path, next(iter(annotated.values())))
    # files with one class may list its name twice: for the class, and for the group of classes
    return Annotations(
        images, list(annotated.values()), list(dict.fromkeys(names.values())), crowds
    )


def _by_id(content, key, path):
    """The objects in a list of the file, with their places, by identifier."""
    found: dict = {}
    for item, place in _COCO.items(content, key, path):
        identifier = _COCO.value(item, "id", place, int, str)
        if identifier in found:
            raise ValueError(f"{place}: id={brief(identifier)} is also in {found[identifier][1]}.")
        found[identifier] = item, place
    return found


def _referred(found, annotation, key, place, where):
    identifier = _COCO.value(annotation, key, place, int, str)
    if identifier not in found:
        raise ValueError(f"{place}: {key}={brief(identifier)} is not the id of any of the {where}.")
    return found[identifier]


def _edges(annotation, place):
    """Edges x0, y0, x1, y1 from COCO's x, y, width, height."""
    values = _COCO.value(annotation, "bbox", place, list)
    if len(values) != 4:
        raise ValueError(
            f"{place}: bbox={brief(values)} must have 4 numbers: x, y, width and height."
        )
    x, y, width, height = (number(value, f"{place}, bbox") for value in values)
    return x, y, x + width, y + height


def _size(image, place):
    """The stated (width, height), or None."""
    values = [image.get(key) for key in ("width", "height")]
    if values == [None, None]:
        return None
    return tuple(number(value, f"{place}, width and height") for value in values)


def _image_folder(path, first):
    """The folder that contains the first image, among those that COCO and other tools use."""
    folder, stem = os.path.split(os.path.splitext(path)[0])
    tops = [folder]
    if os.path.basename(folder) == _ANNOTATIONS:
        tops.append(os.path.dirname(folder))
    split = stem.rpartition("_")[2]  # instances_train2017.json belongs to train2017
    inner = ("", "images", "data", split, os.path.join("images", split))
    candidates = [os.path.join(top, name) if name else top for top in tops for name in inner]
    for candidate in candidates:
        if os.path.isfile(os.path.join(candidate, first.name)):
            return candidate
    raise FileNotFoundError(
        f"{first.place}: the image {first.name!r} is in none of these folders: {candidates}. Pass "
        "its folder as `images`."
    )
