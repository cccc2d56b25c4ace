"""load_detections: images and the boxes of their objects, in the formats that tools write."""

import os

from sklearn_dl.datasets._annotated import as_bunch
from sklearn_dl.datasets._voc import read_voc
from sklearn_dl.utils._sklearn import StrOptions, validate_parameter_constraints

_CONSTRAINTS = {
    "format": [StrOptions({"auto", "voc"})],
    "split": [str, None],
    "images": [str, os.PathLike, None],
    "return_X_y": ["boolean"],
}


def load_detections(path, *, format="auto", split=None, images=None, return_X_y=False):
    """Load images and the boxes of their objects.

    Parameters
    ----------
    path : str or path-like
        A folder of Pascal VOC: XML files in ``Annotations``, images in ``JPEGImages`` or
        ``images``; or XML files and images in one folder.
    format : {"auto", "voc"}, default="auto"
        The format of the annotations. "auto": the one that is found.
    split : str, default=None
        The part of the data: the name of a file in ``ImageSets/Main``, such as "trainval". None:
        all images that have an XML file.
    images : str or path-like, default=None
        Folder of the images. None: it is looked for.
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
            edges in pixels of the image after its EXIF rotation, labels of dtype str. An image
            without objects has an array of length 0.
        target_names : list of str
            The names of the classes.

    (data, target) : tuple if `return_X_y` is True
        `data` and `target` of the Bunch.
    """
    parameters = {"format": format, "split": split, "images": images, "return_X_y": return_X_y}
    validate_parameter_constraints(_CONSTRAINTS, parameters, caller_name="load_detections")
    bunch = as_bunch(read_voc(os.path.realpath(path), split, images))
    return (bunch.data, bunch.target) if return_X_y else bunch
