"""Annotations of Pascal VOC: one XML file for each image."""

import os
from xml.etree import ElementTree

from sklearn_dl.datasets._annotated import AnnotatedImage, Annotations, Box, check_label, number
from sklearn_dl.datasets._files import files_below, image_extensions, read_inside, read_lines
from sklearn_dl.images._files import checked_path
from sklearn_dl.utils._messages import brief

_ANNOTATIONS = ("Annotations", "annotations")
_IMAGES = ("JPEGImages", "images")
_SPLITS = "ImageSets/Main"
_SIZE = ("width", "height")
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_XML = {".xml"}
# an object takes about 250 bytes
_LARGEST_XML = 2**22
_LARGEST_SPLIT = 2**26
# expat expands the entities of a chunk (to at most 8 MB) before Python can refuse them
_CHUNK = 2**14


def voc_files(folder):
    """The folder of the XML files, as a list with its path for messages; [] if there is none."""
    inner = _first_with(folder, _ANNOTATIONS, _XML)
    return [] if inner is None else [os.path.normpath(os.path.join(folder, inner))]


def read_voc(folder, split=None, images=None):
    """Read a folder of XML files.

    Parameters
    ----------
    folder : str
        A path whose symbolic links are resolved.
    split : str or None
        Name of a file in ``ImageSets/Main``, without ".txt".
    images : str or None
        Folder of the images. None: the function searches for it in `folder`.

    Returns
    -------
    annotations : Annotations
    """
    inner = _first_with(folder, _ANNOTATIONS, _XML)
    if inner is None:
        raise ValueError(f"{folder} has no XML files, neither in itself nor in Annotations.")
    if images is None:
        where = _first_with(folder, _IMAGES, image_extensions())
        if where is None:
            raise FileNotFoundError(
                f"{folder} has no images, neither in itself nor in JPEGImages or images. Pass "
                "their folder as `images`."
            )
        images = os.path.normpath(os.path.join(folder, where))
    root = os.path.join(folder, inner)
    by_stem = {_stem(name): name for name in files_below(root, _XML)}
    finder = _ImageFinder(images)
    annotated = []
    for stem, place in _stems(folder, split, by_stem):
        if stem not in by_stem:
            raise FileNotFoundError(f"{place}: {os.path.join(root, stem)}.xml does not exist.")
        name = os.path.normpath(os.path.join(inner, by_stem[stem]))
        annotated.append(_read_xml(folder, name, stem, finder))
    labels = {box.label for image in annotated for box in image.boxes}
    return Annotations(images, annotated, sorted(labels))


def _first_with(folder, inner, extensions):
    """The first of the `inner` folders, or ".", that has a file with one of the `extensions`."""
    for name in (*inner, "."):
        path = os.path.join(folder, name)
        if os.path.isdir(path) and files_below(path, extensions):
            return name
    return None


def _stems(folder, split, by_stem):
    """Yield the name of each image of a split, without its extension, and where it is listed."""
    if split is None:
        for stem in by_stem:
            yield stem, folder
        return
    name = f"{_SPLITS}/{split}.txt"
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        main = os.path.join(folder, _SPLITS)
        there = files_below(main, {".txt"}) if os.path.isdir(main) else []
        raise FileNotFoundError(
            f"split={split!r}: {path} does not exist. There are these splits: "
            f"{[name.removesuffix('.txt') for name in there]}."
        )
    seen: dict = {}
    for line, stem in read_lines(folder, name, _LARGEST_SPLIT):
        place = f"{path}, line {line}"
        if stem in seen:
            raise ValueError(f"{place}: {brief(stem)} is already in line {seen[stem]}.")
        seen[stem] = line
        yield stem, place
    if not seen:
        raise ValueError(f"{path} is empty.")


class _ImageFinder:
    """Finds the image of an XML file.

    By convention, both have the same name, and the XML file also states the name of the image. If
    they were renamed, the stated name is outdated. The image with the name of the XML file is used
    then.
    """

    def __init__(self, folder):
        self.folder = os.path.realpath(folder)
        self.by_stem: dict = {}
        for name in files_below(folder, image_extensions()):
            self.by_stem.setdefault(_stem(name), []).append(name)

    def find(self, stem, stated, place):
        """The path of the image of ``stem``.xml, which states the name `stated` (or None)."""
        same = self.by_stem.get(stem, [])
        there = [] if stated is None else self._stated(stem, stated, place)
        if there and there[0] in same:
            return there[0]
        choice = sorted({*same, *there[:1]})
        if not choice:
            looked = f"{stem}.*" if stated is None else f"{stated!r} or {stem}.*"
            raise FileNotFoundError(f"{place}: {self.folder} has no image {looked}.")
        if len(choice) > 1:
            raise ValueError(
                f"{place}: it is not clear which image it describes: there are {choice}, and it "
                f"states the filename {stated!r}."
            )
        return choice[0]

    def _stated(self, stem, stated, place):
        """The images that a stated name may refer to: none, one or two."""
        # an XML file in an inner folder may name the image with or without that folder
        names = [os.path.join(os.path.dirname(stem), stated), stated]
        try:
            for name in names:
                checked_path(name, self.folder)
        except ValueError as error:
            raise ValueError(f"{place}, filename: {error}.") from error
        names = [os.path.normpath(name) for name in names]
        return [name for name in names if name in self.by_stem.get(_stem(name), [])]


def _stem(name):
    """A path without its extension."""
    return os.path.splitext(name)[0]


def _read_xml(folder, name, stem, finder):
    """Read an XML file of VOC."""
    place = os.path.join(folder, name)
    root = parse_xml(read_inside(folder, name, _LARGEST_XML), place)
    if root.tag != "annotation":
        raise ValueError(f"{place}: the root is <{root.tag}>, but VOC has <annotation>.")
    stated = _text(root, "filename")
    image = finder.find(stem, stated, place)
    size = root.find("size")
    if size is not None:
        size = tuple(number(_text(size, key), f"{place}, size, {key}") for key in _SIZE)
    boxes = []
    for index, thing in enumerate(root.findall("object")):
        where = f"{place}, object[{index}]"
        label = check_label(_text(thing, "name"), where)
        # `find` does not see the boxes of a person's parts, which are nested deeper
        edges = thing.find("bndbox")
        if edges is None:
            raise ValueError(f"{where} has no <bndbox>.")
        values = tuple(number(_text(edges, key), f"{where}, {key}") for key in _EDGES)
        boxes.append(Box(label, values, where))
    return AnnotatedImage(image, place, size, boxes)


def _text(parent, key):
    """The stripped text of a child, or None if it is missing or empty."""
    return (parent.findtext(key) or "").strip() or None


class _WithoutDoctype(ElementTree.TreeBuilder):
    """Refuses a document type, whose entities may expand to gigabytes; VOC has none."""

    def doctype(self, name, public_id, system_id):
        raise ValueError("it has a DOCTYPE, which may define entities; VOC has none")


def parse_xml(content, place):
    """Parse XML that may come from an untrusted source.

    Parameters
    ----------
    content : bytes
    place : str
        Path of the file, for messages.

    Returns
    -------
    root : xml.etree.ElementTree.Element

    Raises
    ------
    ValueError
        If it is not XML, or has a document type.
    """
    parser = ElementTree.XMLParser(target=_WithoutDoctype())
    try:
        for start in range(0, len(content), _CHUNK):
            parser.feed(content[start : start + _CHUNK])
        return parser.close()
    except ElementTree.ParseError as error:
        raise ValueError(f"{place}, line {error.position[0]}: not XML: {error}.") from error
    except (LookupError, ValueError) as error:  # an unknown encoding, or a document type
        raise ValueError(f"{place} cannot be read as XML: {error}.") from error
