"""The directive ``parameter-table``, made from the signatures and docstrings of all estimators."""

import re
from inspect import isclass, signature

from numpydoc.docscrape import ClassDoc
from sklearn.base import BaseEstimator
from sphinx.util.docutils import SphinxDirective

import sklearn_dl


def parameter_rows():
    """Return the parameters of the public estimators.

    Returns
    -------
    rows : list of (str, str, list of (str, str))
        Name, first sentence of the description, and each estimator with its default, as
        reStructuredText. A parameter without a default is "required".
    """
    meanings, users = {}, {}
    for name in sorted(sklearn_dl.__all__):
        estimator = getattr(sklearn_dl, name)
        if not (isclass(estimator) and issubclass(estimator, BaseEstimator)):
            continue
        for parameter in ClassDoc(estimator)["Parameters"]:
            for each in parameter.name.split(", "):
                text = " ".join(" ".join(parameter.desc).split())
                meanings.setdefault(each, re.split(r"(?<=\.)\s", text)[0])
        for parameter in signature(estimator).parameters.values():
            is_required = parameter.default is parameter.empty
            default = "required" if is_required else f"``{parameter.default!r}``"
            users.setdefault(parameter.name, []).append((name, default))
    return [(name, meanings[name], users[name]) for name in sorted(users, key=str.lower)]


class ParameterTable(SphinxDirective):
    """A table of `parameter_rows`."""

    def run(self):
        self.env.note_reread()  # docstrings are not files that Sphinx watches
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 18 42 40", ""]
        lines += ["   * - Parameter", "     - Meaning", "     - Estimator: default"]
        for name, meaning, users in parameter_rows():
            shown = ", ".join(
                f":class:`~sklearn_dl.{estimator}`: {default}" for estimator, default in users
            )
            lines += [f"   * - ``{name}``", f"     - {meaning}", f"     - {shown}"]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app):
    app.add_directive("parameter-table", ParameterTable)
    return {"parallel_read_safe": True}
