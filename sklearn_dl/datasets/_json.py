"""JSON files whose keys and types are defined by a format."""

import json
from pathlib import Path

from sklearn_dl.utils._messages import brief

_NAMES = {dict: "an object", list: "a list", str: "a string", int: "an integer"}


class JsonFormat:
    """Reads the JSON files of a format, and checks their keys and types.

    Parameters
    ----------
    name : str
        Name of the format in messages.
    """

    def __init__(self, name):
        self.name = name

    def read(self, path):
        """The content of a file.

        Raises
        ------
        ValueError
            If it is not JSON.
        """
        try:
            return json.loads(Path(path).read_bytes())
        except (RecursionError, ValueError) as error:  # UnicodeDecodeError is a ValueError
            raise ValueError(f"{path} is not a JSON file: {error}") from error

    def items(self, parent, key, place):
        """Yield the values of the list ``parent[key]``, and the place of each."""
        for number, item in enumerate(self.value(parent, key, place, list)):
            yield item, f"{place}, {key}[{number}]"

    def value(self, parent, key, place, *kinds):
        """The value ``parent[key]`` of a JSON object, which must have one of the types `kinds`.

        Raises
        ------
        ValueError
            If the value is missing or has another type. The message starts with `place`.
        """
        if not isinstance(parent, dict):
            raise ValueError(f"{place} is not {self.name}: {brief(parent)} is not an object.")
        if key not in parent:
            there = brief(sorted(parent))
            raise ValueError(f"{place} is not {self.name}: the key {key!r} is missing in {there}.")
        value = parent[key]
        if type(value) not in kinds:  # True is not an integer
            wanted = " or ".join(_NAMES[kind] for kind in kinds)
            raise ValueError(f"{place} is not {self.name}: {key}={brief(value)} is not {wanted}.")
        return value
