"""Sphinx configuration. ``python -m sphinx -W docs site`` builds the site, without a network."""

import os
import sys
import zlib
from importlib import import_module
from importlib.util import find_spec
from inspect import isclass
from pathlib import Path

import sklearn
from sphinx_gallery.sorting import ExplicitOrder

import sklearn_dl

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
project = "sklearn_dl"
author = "The sklearn_dl developers"
copyright = f"2026, {author}"
version = release = sklearn_dl.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "parameter_table",
    "site_links",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
# pages of times need scripts from other sites
exclude_patterns = ["_build", "**/sg_execution_times.rst"]
templates_path = ["_templates"]
nitpicky = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

toc_object_entries_show_parents = "hide"
autosummary_generate = True
autodoc_default_options = {"members": True, "inherited-members": True}
autodoc_typehints = "none"
numpydoc_show_class_members = False
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_dl"
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["tables.js"]
html_context = {"default_mode": "auto"}
# pages without a section of their own have nothing to list on the left
ALONE = ["from_mlnet", "benchmarks", "security", "changes", "contributing"]
html_sidebars = {page: [] for page in ALONE}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "sklearn_dl"},
    "navbar_align": "left",
    "header_links_before_dropdown": 5,
    "secondary_sidebar_items": {"**": ["page-toc"], "from_mlnet": [], "guide/comparison": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

# what docstrings that are inherited from scikit-learn refer to
LABELS = {
    "accuracy_score": ("std:label", "modules/model_evaluation.html#accuracy-score"),
    "df_output_transform": ("std:label", "modules/df_output_transform.html#df-output-transform"),
    "meta-estimator": ("std:term", "glossary.html#term-meta-estimator"),
    "metadata_routing": ("std:label", "metadata_routing.html#metadata-routing"),
    "r2_score": ("std:label", "modules/model_evaluation.html#r2-score"),
    "sklearn.set_config": ("py:function", "modules/generated/sklearn.set_config.html"),
    "sklearn.utils.Bunch": ("py:class", "modules/generated/sklearn.utils.Bunch.html"),
    "sklearn.utils.metadata_routing.MetadataRequest": (
        "py:class",
        "modules/generated/sklearn.utils.metadata_routing.MetadataRequest.html",
    ),
    "sphx_glr_auto_examples_miscellaneous_plot_set_output.py": (
        "std:label",
        "auto_examples/miscellaneous/plot_set_output.html",
    ),
}
SCIKIT_LEARN_ROOMS = [
    "sklearn.feature_extraction.text",
    *(f"sklearn.{name}" for name in sklearn.__all__ if find_spec(f"sklearn.{name}") is not None),
]


def scikit_learn_inventory():
    """A file of what scikit-learn documents where, made from the installed package.

    Its site has one page for each public name, at an address that follows from the name; so no
    network is needed to link to it.
    """
    lines = [f"{name} {kind} -1 {page} -" for name, (kind, page) in LABELS.items()]
    for module in map(import_module, SCIKIT_LEARN_ROOMS):
        own = [name for name, thing in vars(module).items() if _defined_in(module, thing)]
        for name in sorted(set(getattr(module, "__all__", own)) & set(vars(module))):
            kind = "class" if isclass(getattr(module, name)) else "function"
            full = f"{module.__name__}.{name}"
            lines.append(f"{full} py:{kind} 1 modules/generated/{full}.html#{full} -")
    head = "# Sphinx inventory version 2\n# Project: scikit-learn\n# Version: {}\n"
    head += "# The remainder of this file is compressed using zlib.\n"
    path = HERE / "_build" / "scikit-learn.inv"
    path.parent.mkdir(exist_ok=True)
    body = zlib.compress("\n".join([*sorted(lines), ""]).encode())
    path.write_bytes(head.format(sklearn.__version__).encode() + body)
    return str(path)


def _defined_in(module, thing):
    return getattr(thing, "__module__", None) == module.__name__


intersphinx_mapping = {
    "sklearn": ("https://scikit-learn.org/stable/", scikit_learn_inventory()),
}

EXAMPLES = [
    "quickstart.py",
    "pretrained_classification.py",
    "image_classification.py",
    "image_regression.py",
    "features_and_cross_validation.py",
    "train_a_detector.py",
    "object_detection.py",
    "text_classification.py",
    "several_labels.py",
    "entities.py",
    "answers.py",
    "learning_in_steps.py",
    "explanations.py",
    "frozen_or_fine_tuned.py",
    "text_grid_search.py",
    "search_with_optuna.py",
    "similarity_search.py",
    "export_text.py",
    "export_images.py",
    "mixed_columns.py",
    "mixed_text_and_numbers.py",
    "tensorflow_images.py",
    "tensorflow_text.py",
    "keras_features.py",
    "distributed_fit.py",
]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"[/\\](?!_)\w+\.py$",
    "ignore_pattern": r"^_",
    "within_subsection_order": ExplicitOrder([*EXAMPLES, "*"]),
    "abort_on_example_error": True,
    "parallel": 2,  # examples at a time; each has half of the CPUs for its threads
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sklearn_dl",),
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 0,
    "capture_repr": ("_repr_html_", "__repr__"),
    "reset_modules": ("matplotlib", "site_links.link_reprs"),
    "nested_sections": False,
}
