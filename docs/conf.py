"""Settings of the documentation site."""

from dosegrad import __version__

project = "dosegrad"
author = "The dosegrad developers"
copyright = "the dosegrad developers, Apache-2.0"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"dosegrad {version}"
html_static_path = []

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = False
python_use_unqualified_type_names = True
suppress_warnings = [
    "ref.python",  # Dose the class, dose the field: both are meant
    "ref.citation",  # cited from a comment in the source; a test looks after the keys
]
