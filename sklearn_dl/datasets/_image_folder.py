"""load_image_folder: images in one folder for each class."""

import os

import numpy as np
from sklearn.utils import Bunch

from sklearn_dl.datasets._files import files_below, files_in, image_extensions
from sklearn_dl.images import ImageLoader
from sklearn_dl.utils._columns import counted, object_array
from sklearn_dl.utils._sklearn import validate_parameter_constraints

_CONSTRAINTS = {"return_X_y": ["boolean"]}


def load_image_folder(path, *, return_X_y=False):
    """Load images and their classes from a folder with one folder for each class.

    Parameters
    ----------
    path : str or path-like
        A folder. The names of the folders in it are the classes. Images may also be in folders
        inside the folder of a class.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With these attributes:

        data : ndarray of shape (n_images,), dtype object
            The absolute path of each image, as str, sorted within each class.
        target : ndarray of shape (n_images,), dtype int64
            The index of the class of each image in `target_names`.
        target_names : list of str
            The names of the classes, sorted.

    (data, target) : tuple if `return_X_y` is True
        `data` and `target` of the Bunch.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or an image is a symbolic link to a file that does not exist.
    ValueError
        If there are no folders inside it, one of them has no images, or a symbolic link leads back
        to a folder that was already read.

    See Also
    --------
    load_detections : Images with boxes.
    sklearn.datasets.load_files : The same for texts.

    Notes
    -----
    A file is an image if its extension is one of a format that
    :class:`~sklearn_dl.images.ImageLoader` reads, in lower or upper case. Other files, files that
    are not in the folder of a class, and hidden files and folders (whose names start with a dot)
    are ignored. Symbolic links are followed. No image is opened.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> from sklearn_dl.datasets import load_image_folder
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("cat/tom.png", "dog/rex.png", "dog/spot.png"):
    ...         path = Path(folder) / name
    ...         path.parent.mkdir(exist_ok=True)
    ...         Image.new("RGB", (4, 4)).save(path)
    ...     data = load_image_folder(folder)
    >>> [Path(path).name for path in data.data]
    ['tom.png', 'rex.png', 'spot.png']
    >>> data.target
    array([0, 1, 1])
    >>> data.target_names
    ['cat', 'dog']
    """
    parameters = {"return_X_y": return_X_y}
    validate_parameter_constraints(_CONSTRAINTS, parameters, caller_name="load_image_folder")
    with os.scandir(path) as entries:
        names = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    if not names:
        images = counted(len(files_in(path, image_extensions())), "image")
        raise ValueError(
            f"{os.fspath(path)!r} has no folders, only {images}. It must have one folder for each "
            "class."
        )
    paths: list = []
    counts = []
    for name in names:
        folder = os.path.join(path, name)
        found = files_below(folder, image_extensions())
        if not found:
            raise ValueError(f"{folder!r} is the folder of a class, but has no images.")
        paths.extend(os.path.join(folder, image) for image in found)
        counts.append(len(found))
    # raises an error if a file does not exist
    images = ImageLoader().set_output(transform="default").transform(paths)[:, 0]
    data = object_array([image.source for image in images])
    target = np.repeat(np.arange(len(names), dtype=np.int64), counts)
    if return_X_y:
        return data, target
    return Bunch(data=data, target=target, target_names=names)
