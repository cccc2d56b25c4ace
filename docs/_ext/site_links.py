"""Links to the reference: from HTML reprs in the gallery, and from pages of sources."""

import re

from sklearn_dl.utils._base import DeepEstimator

# viewcode takes one module for all names of a file; each name has a page of its own, so named
BACK = re.compile(r'(generated/((?:\w+\.)*)(\w+)\.html#)(?:\w+\.)*?\3(?=[".])')


def link_reprs(gallery_conf, fname):
    """Let HTML reprs link to this site's reference; sphinx-gallery calls this for each example."""
    DeepEstimator._doc_link_module = "sklearn_dl"
    DeepEstimator._doc_link_template = "../generated/sklearn_dl.{estimator_name}.html"


def correct_links_back(app, pagename, templatename, context, doctree):
    if pagename.startswith("_modules/") and "body" in context:
        context["body"] = BACK.sub(r"\1\2\3", context["body"])


def setup(app):
    app.connect("html-page-context", correct_links_back)
    return {"parallel_read_safe": True}
