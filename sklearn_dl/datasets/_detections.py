"""load_detections: images and the boxes of their objects, in the formats that tools write."""

import os

from sklearn_dl.datasets._annotated import as_bunch
from sklearn_dl.datasets._coco import choose_coco, coco_files, read_coco
from sklearn_dl.datasets._voc import read_voc, voc_files
from sklearn_dl.datasets._yolo import read_yolo, yolo_files
from sklearn_dl.utils._sklearn import StrOptions, validate_parameter_constraints

_CONSTRAINTS = {
    "format": [StrOptions({"auto", "coco", "voc", "yolo"})],
    "split": [str, None],
    "images": [str, os.PathLike, None],
    "classes": ["array-like", None],
    "return_X_y": ["boolean"],
}
_FORMATS_OF_FILES = {".json": "coco", ".yaml": "yolo", ".yml": "yolo"}


def load_detections(
    path, *, format="auto", split=None, images=None, classes=None, return_X_y=False
):
    """Load images and the boxes of their objects from files of COCO, Pascal VOC or YOLO.

    Parameters
    ----------
    path : str or path-like
        COCO: a JSON file, or a folder with one. VOC: a folder with XML files in ``Annotations``.
        YOLO: a folder with ``images`` and ``labels``, or with text files beside the images, or
        its YAML file. The Notes describe the folders.
    format : {"auto", "coco", "voc", "yolo"}, default="auto"
        The format of the annotations. "auto": the format that is found in `path`.
    split : str, default=None
        The part of the data, such as "train". VOC: the name of a file in ``ImageSets/Main``. YOLO:
        a key of the YAML file or, without one, the name of a folder or of a text file that lists
        images. COCO: the end of the name of a JSON file, or the name of its folder. None: all
        images.
    images : str or path-like, default=None
        Folder of the images of COCO or VOC. None: the function searches for it.
    classes : array-like of str, default=None
        Names of the classes of YOLO, in the order of their indices. None: those of the YAML file,
        of ``classes.txt`` or of ``obj.names``.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With these attributes:

        data : ndarray of shape (n_images,), dtype object
            The absolute path of each image, as str.
        target : ndarray of shape (n_images,), dtype object
            The objects of each image, as :func:`~sklearn_dl.metrics.make_detections` returns them:
            edges are in pixels of the image after its EXIF rotation, and labels have the same str
            dtype in all images. An image without objects has an array of length 0.
        target_names : list of str
            The names of the classes. COCO and YOLO: in the order of the file, including classes
            without a box. VOC: sorted, because VOC has no list of classes.

    (data, target) : tuple if `return_X_y` is True
        `data` and `target` of the Bunch.

    Raises
    ------
    FileNotFoundError
        If a file or folder does not exist.
    ValueError
        If `path` has no annotations, or annotations of several formats; if a file is malformed,
        lists an image twice, or names a class or an image that does not exist; if a file name
        leaves its folder by ``..`` or a symbolic link; if an image cannot be read or does not have
        the stated size; or if a box is not finite or has x0 > x1 or y0 > y1. The message names the
        file and the line or place.
    ImportError
        If a YAML file is read and PyYAML is not installed.

    Warns
    -----
    UserWarning
        If boxes were left out, because they have no area or are around crowds (``iscrowd`` of
        COCO). One warning gives their number.

    See Also
    --------
    load_image_folder : Images with one class each.
    detections_from_frame : Boxes from a data frame.
    sklearn_dl.metrics.make_detections : The boxes of one image.

    Notes
    -----
    COCO: each of the ``images`` in the file is a row, in the order of the file. The images are in
    the folder of the file, or in one of these folders inside it: "images", "data", the end of the
    file's name ("train2017" for instances_train2017.json), or this end inside "images". If the file
    is in a folder "annotations", the parent of that folder is searched in the same way.

    VOC: each XML file is a row, sorted or in the order of the split. Images are in ``JPEGImages``,
    ``images``, or beside the XML files. An image without an XML file is not a row. Edges are kept
    as they are written: 1 is not subtracted, although VOC counts pixels from 1. Objects marked as
    difficult are kept.

    YOLO: each image is a row, sorted or in the order of the list. The text file of
    ``images/train/a.jpg`` is ``labels/train/a.txt`` or, if that folder does not exist, the one
    beside the image. An image without a text file has no objects, but a folder in which no image
    has a text file is an error. A polygon becomes the box around it. Keypoints are ignored if the
    YAML file states ``kpt_shape``. If ``split`` is given, ``path`` in the YAML file is used only if
    it is inside the folder.

    Boxes may extend beyond the edges of their images.

    References
    ----------
    - https://cocodataset.org/#format-data
    - M. Everingham et al. "The Pascal Visual Object Classes (VOC) Challenge". IJCV 2010.
    - https://docs.ultralytics.com/datasets/detect

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> from sklearn_dl.datasets import load_detections
    >>> with TemporaryDirectory() as folder:
    ...     Image.new("RGB", (100, 50)).save(Path(folder) / "street.png")
    ...     _ = (Path(folder) / "street.txt").write_text("1 0.5 0.5 0.2 0.4")
    ...     data = load_detections(folder, classes=["cat", "dog"])
    >>> Path(data.data[0]).name
    'street.png'
    >>> data.target[0][["x0", "y0", "x1", "y1", "label"]].tolist()
    [(40.0, 15.0, 60.0, 35.0, 'dog')]
    >>> data.target_names
    ['cat', 'dog']
    """
    parameters = {
        "format": format,
        "split": split,
        "images": images,
        "classes": classes,
        "return_X_y": return_X_y,
    }
    validate_parameter_constraints(_CONSTRAINTS, parameters, caller_name="load_detections")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{os.fspath(path)!r} does not exist.")
    if images is not None and not os.path.isdir(images):
        raise FileNotFoundError(f"images={os.fspath(images)!r} is not a folder.")
    if os.path.isdir(path):
        path = os.path.realpath(path)
    else:  # a file that is a link keeps its name
        parent, name = os.path.split(path)
        path = os.path.join(os.path.realpath(parent), name)
    format = _format_of(path) if format == "auto" else format
    _check_applies("images", images, format, ("coco", "voc"))
    _check_applies("classes", classes, format, ("yolo",))
    bunch = as_bunch(_READERS[format](path, split, images, classes))
    return (bunch.data, bunch.target) if return_X_y else bunch


def _read_coco(path, split, images, classes):
    if os.path.isdir(path):
        path = choose_coco(path, split)
    elif split is not None:
        raise ValueError(f"split={split!r} needs a folder, but {path} is a file.")
    return read_coco(path, images)


def _read_voc(path, split, images, classes):
    if not os.path.isdir(path):
        raise ValueError(f"{path} is a file. Pass the folder of the XML files and images.")
    return read_voc(path, split, images)


def _read_yolo(path, split, images, classes):
    folder, yaml = (path, None) if os.path.isdir(path) else os.path.split(path)
    return read_yolo(folder, yaml, split, classes)


_READERS = {"coco": _read_coco, "voc": _read_voc, "yolo": _read_yolo}


def _format_of(path):
    """The format of a file, from its extension, or of a folder, from its files."""
    if not os.path.isdir(path):
        extension = os.path.splitext(path)[1].lower()
        if extension not in _FORMATS_OF_FILES:
            raise ValueError(
                f"{path} is a file. Pass a JSON file (COCO), a YAML file (YOLO), or the folder of "
                "the images and annotations."
            )
        return _FORMATS_OF_FILES[extension]
    finders = {"coco": coco_files, "voc": voc_files, "yolo": yolo_files}
    found = {format: files for format, find in finders.items() if (files := find(path))}
    if len(found) > 1:
        shown = "; ".join(f"format={format!r} ({files[0]})" for format, files in found.items())
        raise ValueError(f"{path} has annotations of several formats. Pass one of them: {shown}.")
    if not found:
        there = sorted(os.listdir(path))
        raise ValueError(
            f"{path} has no annotations: neither a JSON file of COCO, nor XML files of VOC, nor "
            f"text files of YOLO that belong to images. It has {len(there)} entries: {there[:10]}."
        )
    return next(iter(found))


def _check_applies(name, value, format, formats):
    if value is not None and format not in formats:
        raise ValueError(
            f"{name}={value!r} does not apply to the format {format!r}, only to {list(formats)}."
        )
