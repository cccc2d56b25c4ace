"""YoloConfig: the classes and the splits of a data set of YOLO, from its YAML file or lists."""

import os
import re
from math import prod

from sklearn_dl.datasets._annotated import check_label, number
from sklearn_dl.datasets._files import files_in, read_inside, read_lines, read_start
from sklearn_dl.images._files import checked_path
from sklearn_dl.utils._messages import brief
from sklearn_dl.utils._optional import import_optional

_YAML = {".yaml", ".yml"}
_CLASS_LISTS = ("classes.txt", os.path.join("labels", "classes.txt"), "obj.names")
# enough for the names of 5,000 classes; reading a larger, untrusted file could take minutes
_LARGEST = 2**18


class YoloConfig:
    """The classes and the splits of a data set.

    Parameters
    ----------
    folder : str
        Folder of the data set, a path whose symbolic links are resolved.
    yaml : str or None
        Name of the YAML file in `folder`. None: the class searches for it.
    classes : list of str or None
        Names of the classes. None: those of the YAML file, or of a list of classes.

    Attributes
    ----------
    names : list of str
        Names of the classes.
    n_keypoint_values : int
        Number of values for keypoints after each box.
    """

    def __init__(self, folder, yaml=None, classes=None):
        self.folder = folder
        self.file = self._find(yaml)
        self.content = {} if self.file is None else self._read_yaml()
        self.names = self._names(classes)
        self.n_keypoint_values = self._n_keypoint_values()

    @staticmethod
    def files(folder):
        """Names of the YAML files of a folder that name classes."""
        return [
            name
            for name in files_in(folder, _YAML)
            if re.search(rb"(?m)^['\"]?names['\"]?\s*:", read_start(folder, name, _LARGEST))
        ]

    def split(self, name):
        """The folders or lists of images of a split, as paths relative to the data set's folder."""
        if not self.content:
            candidates = [f"images/{name}", f"{name}/images", name, f"{name}.txt"]
            source = self._existing(candidates)
            if source is None:
                raise FileNotFoundError(
                    f"split={name!r}: {self.folder} has none of {candidates}, and no YAML file."
                )
            return [source]
        entries = self.content.get(name) or []
        entries = [entries] if isinstance(entries, str) else entries
        if not entries or not all(isinstance(entry, str) for entry in entries):
            there = [key for key in ("train", "val", "test") if self.content.get(key)]
            raise ValueError(
                f"split={name!r} is not a split of {self._path()}. It has these: {there}."
            )
        return [self._source(name, entry) for entry in entries]

    def _source(self, name, entry):
        # `path` is often a folder on another computer; like Ultralytics, drop a leading "../"
        base = self.content.get("path")
        bases = [base, ""] if isinstance(base, str) and not os.path.isabs(base) else [""]
        tails = [entry, entry.removeprefix("../")]
        source = self._existing([os.path.join(base, tail) for base in bases for tail in tails])
        if source is None:
            raise FileNotFoundError(
                f"{self._path()}: {name} is {brief(entry)}, which is not a folder or file inside "
                f"{self.folder}."
            )
        return source

    def _existing(self, candidates):
        """The first of some paths that exists inside the folder, or None."""
        for candidate in candidates:
            try:
                if os.path.exists(checked_path(candidate, self.folder)):
                    return os.path.normpath(candidate)
            except ValueError:  # it leaves the folder
                continue
        return None

    def _path(self):
        return os.path.join(self.folder, self.file or "")

    def _find(self, yaml):
        """The name of the YAML file, or None."""
        if yaml is not None:
            return yaml
        found = self.files(self.folder)
        named = [name for name in found if name in ("data.yaml", "dataset.yaml")]
        if len(found) > 1 and len(named) != 1:
            raise ValueError(
                f"{self.folder} has several YAML files that name classes: {found}. Pass the path "
                "of one of them."
            )
        return (named or found or [None])[0]

    def _read_yaml(self):
        yaml = import_optional("yaml", extra="vision", purpose=f"Reading {self._path()}")
        content = read_inside(self.folder, self.file, _LARGEST)
        try:
            # all values stay strings: a class may be called "no"
            content = yaml.load(content, Loader=yaml.BaseLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line = "" if mark is None else f", line {mark.line + 1}"
            raise ValueError(f"{self._path()}{line}: not YAML: {error.problem}.") from error
        except (RecursionError, ValueError, yaml.YAMLError) as error:
            raise ValueError(f"{self._path()} cannot be read as YAML: {error}.") from error
        if not isinstance(content, dict):
            raise ValueError(f"{self._path()} must have the key `names`, but is {brief(content)}.")
        return content

    def _n_keypoint_values(self):
        shape = self.content.get("kpt_shape", ["0"])
        place = f"{self._path()}, kpt_shape"
        numbers = [number(n, place) for n in shape] if isinstance(shape, list) else []
        if not numbers or not all(n in range(1000) for n in numbers):
            raise ValueError(f"{place}: {brief(shape)} is not a shape.")
        return int(prod(numbers))

    def _names(self, classes):
        """The checked names of the classes."""
        if classes is not None:
            names, place = list(classes), "classes"
        elif "names" in self.content:
            names, place = self._names_of_yaml(), f"{self._path()}, names"
        else:
            names, place = self._listed_names()
        names = [check_label(name, f"{place}[{i}]") for i, name in enumerate(names)]
        first: dict = {}
        for i, name in enumerate(names):
            if first.setdefault(name, i) != i:
                raise ValueError(
                    f"{place}[{i}]: {name!r} is also the name of the class {first[name]}."
                )
        return names

    def _names_of_yaml(self):
        """The names in the YAML file, in the order of their indices."""
        names = self.content["names"]
        if isinstance(names, dict):
            indices = [str(i) for i in range(len(names))]
            if set(names) != set(indices):
                raise ValueError(
                    f"{self._path()}: the keys of `names` must be 0, 1, ... in any order, but are "
                    f"{brief(list(names))}."
                )
            names = [names[i] for i in indices]
        if not isinstance(names, list) or not names:
            raise ValueError(f"{self._path()}: names={brief(names)} is not a list of names.")
        stated = self.content.get("nc", str(len(names)))
        if stated != str(len(names)):
            raise ValueError(
                f"{self._path()}: nc={brief(stated)}, but there are {len(names)} names."
            )
        return names

    def _listed_names(self):
        """The names of a text file with one name in each line, and its path."""
        for name in _CLASS_LISTS:
            path = os.path.join(self.folder, name)
            if not os.path.isfile(path):
                continue
            names = []
            for line, label in read_lines(self.folder, name, _LARGEST):
                names.append(label)
                if line != len(names):  # the index of a class is its line
                    raise ValueError(f"{path}, line {len(names)}: it is empty.")
            return names, path
        raise ValueError(
            f"{self.folder} has no class names: neither a YAML file with `names` nor any of "
            f"{list(_CLASS_LISTS)}. Pass them as `classes`, in the order of their indices."
        )
