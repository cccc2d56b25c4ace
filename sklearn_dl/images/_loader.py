"""ImageLoader: turns paths, URLs, bytes, PIL images and arrays into a column of lazy images."""

import os
import sys
from dataclasses import replace
from functools import partial
from numbers import Integral

from sklearn.base import TransformerMixin

from sklearn_dl.images._cells import as_column, name_of, source_of
from sklearn_dl.images._faults import machine_fault, naming
from sklearn_dl.images._files import checked_path, file_stat
from sklearn_dl.images._formats import check_formats
from sklearn_dl.images._lazy import Decoding, ImageReadError, LazyImage, image_column
from sklearn_dl.images._step import ImageStepMixin
from sklearn_dl.images._stores import check_pickles, store_of
from sklearn_dl.utils._base import DeepEstimator
from sklearn_dl.utils._columns import single_column
from sklearn_dl.utils._messages import MAX_MESSAGE, RowsError, names_labels, shortened
from sklearn_dl.utils._sklearn import HasMethods, Interval, StrOptions, clone_parametrized


class ImageLoader(ImageStepMixin, TransformerMixin, DeepEstimator):
    """Turn paths, URLs, encoded files, PIL images and arrays into a column of lazy images.

    No pixel is read here: each row becomes a :class:`LazyImage`, which is decoded when a later
    step asks for it. So a pipeline over 100,000 images needs memory for one batch only.

    Parameters
    ----------
    root : str, Path or None, default=None
        Folder of the images; relative paths start here. An absolute path is an error. So is a path
        that leaves the folder (by ``..`` or a symbolic link), or one in which a symbolic link
        replaces a file or folder before the image is read. None: paths are used as they are. With
        `filesystem`, it is a folder in that filesystem, such as ``"s3://bucket/images"``. Each row
        is then a URL that begins with it or a relative path, and contains no ``..``.
    filesystem : dict, fsspec filesystem or None, default=None
        Filesystem of the package fsspec that holds the files: a dict of its protocol and options,
        as in ``{"protocol": "s3", "anon": True}``, or an instance. A file is read when its pixels
        are needed. A dict can always be pickled. It need not contain access keys: most stores find
        them in the environment. None: paths are local, and a URL is an error, because nothing is
        downloaded.
    colors : {"RGB", "RGBA", "L"}, default="RGB"
        Colour channels in their order, such as "RGB", or "L" for grey levels. With "RGB" and "L",
        transparent images are composited on black.
    exif_transpose : bool, default=True
        Whether images are turned upright, according to their EXIF orientation.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read. "raise": raise an error that names the row and
        its path. "nan": later steps return missing values for it; one warning states how many rows
        these are. Faults of the machine (too many open files, no memory, a disk that fails) raise
        an error in any case.
    max_pixels : int or None, default=178_956_970
        Largest number of pixels (width x height) of an image that is decoded: a guard against
        decompression bombs. It also limits what is inside a file: the icons of ICO and ICNS, the
        tiles of TIFF, the bitstreams of AVIF. Pillow's own limit,
        ``PIL.Image.MAX_IMAGE_PIXELS``, applies as well (a warning above it, an error above twice
        its value). None: only Pillow's limit.
    formats : list or tuple of str, or None, default=None
        Formats that files may have: names in ``PIL.Image.OPEN``, such as "PNG", and "HEIF" for HEIC
        images. None: ``sklearn_dl.images.SAFE_FORMATS``, the formats whose size is known before
        decoding. The error for a file in another format names that format. Add other formats, as in
        ``[*SAFE_FORMATS, "BLP"]``, only for files that can be trusted. PIL images may have any
        format but EPS.

    Attributes
    ----------
    n_features_in_ : int
        1, after `fit`.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column, after `fit` on a data frame.

    See Also
    --------
    ImageResizer : The next step: resizes all images to one size.
    PixelExtractor : Turns images into numbers.

    Notes
    -----
    This is ML.NET's LoadImages and LoadRawImageBytes. Unlike these, it applies the EXIF
    orientation, reads about twenty formats (never PostScript, which is a program), and never turns
    an empty path into a black image. Only the first frame of an animation is used, and only the
    high byte of 16-bit grey levels.

    HEIC images are read if the package pillow-heif is installed. They are always turned upright.

    `max_pixels` limits memory: at worst, decoding takes about 20 bytes per pixel (JPEG 2000). It
    does not limit time: a progressive JPEG or a large WebP canvas may take seconds.

    A file in a store is read whole, with one request; its filesystem decides about retries. A file
    of more than ``20 * max_pixels`` bytes is refused (this limit is at least 64 MiB). Threads share
    one filesystem, so that connections are used again. If the filesystem is not asynchronous (an
    archive, for example), only one thread reads at a time. If the store is far away, a larger
    `n_threads` than the number of CPUs may be faster. `transform` does not check that a path in
    `filesystem` exists.

    `root` and `filesystem` concern paths and URLs; X may contain other rows beside them. A path
    object of universal_pathlib that is not local counts as a URL: it needs `filesystem`. An open
    file is read at once, from its beginning, and keeps its position; a stream that cannot be
    rewound is read from its current position. A file that fsspec opened, such as
    ``fsspec.open(url)``, is read later, by its own filesystem.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dl import ImageLoader
    >>> images = ImageLoader().transform([np.zeros((2, 3, 3), dtype=np.uint8)])
    >>> images
    array([[LazyImage(<array 2 x 3 x 3>, RGB)]], dtype=object)
    >>> np.asarray(images[0, 0]).shape
    (2, 3, 3)

    Images in a store, which is in memory here (``pip install "sklearn-dl[stores]"``):

    >>> import fsspec
    >>> from PIL import Image
    >>> with fsspec.open("memory://images/a.png", "wb") as file:
    ...     Image.new("RGB", (4, 3)).save(file, "PNG")
    >>> loader = ImageLoader(filesystem={"protocol": "memory"}, root="memory://images")
    >>> images = loader.transform(["memory://images/a.png", "a.png"])
    >>> [image.size for image in images[:, 0]]
    [(4, 3), (4, 3)]
    """

    _parameter_constraints: dict = {
        "root": [str, os.PathLike, None],
        "filesystem": [dict, HasMethods(["cat_file", "open"]), None],
        "colors": [StrOptions({"RGB", "RGBA", "L"})],
        "exif_transpose": ["boolean"],
        "on_error": [StrOptions({"raise", "nan"})],
        "max_pixels": [Interval(Integral, 1, None, closed="left"), None],
        "formats": [list, tuple, None],
    }

    def __init__(
        self,
        *,
        root=None,
        filesystem=None,
        colors="RGB",
        exif_transpose=True,
        on_error="raise",
        max_pixels=178_956_970,
        formats=None,
    ):
        self.root = root
        self.filesystem = filesystem
        self.colors = colors
        self.exif_transpose = exif_transpose
        self.on_error = on_error
        self.max_pixels = max_pixels
        self.formats = formats

    def fit(self, X, y=None):
        """Check the parameters and store the column's name.

        Parameters
        ----------
        X : one column, as in `transform`
        y : ignored

        Returns
        -------
        self : object
        """
        return super().fit(as_column(X), y)

    @names_labels
    def transform(self, X):
        """Make a lazy image of each row of X.

        Parameters
        ----------
        X : list, 1-D array, Series, or one-column frame or array, of n_samples rows
            Each row is one of the following; X may mix them.

            - A path (str or Path), or the ``file:`` URI of a local file. With `filesystem`, a path
              or a URL.
            - An encoded file: bytes, or an open file.
            - A PIL image.
            - A uint8 array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4). An array of shape
              (n_samples, H, W, C) is a column of arrays.
            - A uint8 tensor of torch, of shape (H, W), (1, H, W), (3, H, W) or (4, H, W).
            - A struct of a table, as a dict, Row or named tuple: ``bytes`` and ``path`` of Hugging
              Face's datasets, or Spark's structs of images and of binary files.
            - A lazy image, which keeps its steps and gets the parameters of this loader.

        Returns
        -------
        images : ndarray of shape (n_samples, 1), dtype object
            One :class:`LazyImage` per row (a data frame if `set_output` asks for it).

        Raises
        ------
        FileNotFoundError
            If the folder `root` or a file does not exist. The error for a file has the attributes
            `row`, `source` (the path) and `label` (the row's label in the index of X, or None).
        ImageReadError
            If a row is missing, has a type that is not allowed, is not a regular file, or leaves
            `root` or `filesystem`. With ``on_error="nan"``, later steps return missing values for
            these rows and for those whose file does not exist.
        ImportError
            If `filesystem` is set, and fsspec or a package that it needs is not installed.
        ValueError
            If X is not one column, if `formats` contains an unknown name, if `filesystem` is
            unknown to fsspec, or if a row is a lazy image although `root` or `filesystem` is set.
        OSError or MemoryError
            If the machine fails (too many open files, no memory, a disk that cannot be read),
            even with ``on_error="nan"``: such a failure says nothing about an image. Also if the
            filesystem cannot be opened.
        """
        self._validate_params()
        cells = single_column(as_column(X), self, reset=False)
        find, folder = self._place()
        decoding = Decoding(
            mode=self.colors,
            exif_transpose=self.exif_transpose,
            on_error=self.on_error,
            max_pixels=self.max_pixels,
            formats=check_formats(self.formats),
            root=folder,
        )
        images, outside = [], sys.exception()
        for row, cell in enumerate(cells):
            if isinstance(cell, LazyImage):
                if self.root is not None or self.filesystem is not None:
                    name = "filesystem" if self.root is None else "root"
                    raise RowsError(
                        f"Row {row} is already a lazy image, so {name} cannot apply to it. Set "
                        f"{name} in the ImageLoader that made it.",
                        row,
                    )
                # it keeps its own root: this loader must not lift that limit
                images.append(replace(cell, decoding=decoding._replace(root=cell.decoding.root)))
                continue
            try:
                with naming(f"Row {row}"):
                    source = source_of(cell, find)
                    # with "nan", the file need not exist before the image is read
                    if isinstance(source, str) and self.on_error == "raise":
                        file_stat(source)
                images.append(LazyImage(source, decoding))
            except (OSError, ValueError) as error:
                if machine_fault(error, outside):
                    raise
                if self.on_error == "raise":
                    raise _with_row(error, row, cell) from error
                images.append(LazyImage(name_of(cell), decoding, error=str(error)))
        return image_column(images)

    def _place(self):
        """Return where paths lead.

        Returns
        -------
        find : callable(str)
            Returns the source for a path or URL.
        folder : str or None
            The local folder that must contain the files.
        """
        store = store_of(self.filesystem)
        if store is not None:
            store.check(self.root)
            return partial(store.find, root=self.root), None
        folder = None
        if self.root is not None:
            folder = os.path.realpath(checked_path(os.fspath(self.root) or os.curdir))
            if not os.path.isdir(folder):
                raise FileNotFoundError(f"The folder root={os.fspath(self.root)!r} does not exist.")
        return partial(checked_path, root=folder), folder

    def __getstate__(self):
        check_pickles(self.filesystem)
        return super().__getstate__()

    def __sklearn_clone__(self):
        check_pickles(self.filesystem)  # cloning copies it, and the error of copy gives no advice
        return clone_parametrized(self)


def load_column(X, estimator, *, reset, on_error="raise"):
    """Return the lazy images of a one-column X, for estimators whose X is a column of images.

    Parameters
    ----------
    X : anything that `ImageLoader.transform` accepts
        Lazy images keep the settings of their own loader, even ``on_error="nan"``.
    estimator : estimator
        If `reset`, it gets `n_features_in_`; otherwise X is checked against it.
    reset : bool
    on_error : {"raise", "nan"}

    Returns
    -------
    images : ndarray of LazyImage, of shape (n_samples,)
    """
    cells = single_column(as_column(X), estimator, reset=reset)
    loader = ImageLoader(on_error=on_error).set_output(transform="default")
    images = loader.transform(cells)[:, 0]
    for row, cell in enumerate(cells):
        if isinstance(cell, LazyImage):
            skips = "nan" in (on_error, cell.decoding.on_error)
            decoding = cell.decoding._replace(on_error="nan" if skips else "raise")
            images[row] = replace(cell, decoding=decoding)
    return images


def _with_row(error, row, cell):
    """Return the error to raise for a row, with the row's number and its path."""
    source = name_of(cell)
    if not isinstance(error, FileNotFoundError):
        return ImageReadError(shortened(str(error), MAX_MESSAGE - len(f"Row {row}: ")), row, source)
    named = FileNotFoundError(shortened(f"Row {row}: {error}"))
    vars(named).update(row=row, source=source, label=None)
    return named
