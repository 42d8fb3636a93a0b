"""Settings of Sphinx for the chapters as web pages; `pages.py` puts the pages together."""

import re

from docutils import nodes
from latex2mathml.converter import convert

project = "minissd"
html_title = "SSD from scratch"
author = "the minissd authors"
extensions = ["myst_nb"]
language = "en"
exclude_patterns = ["web"]

nb_execution_mode = "off"  # the saved outputs are shown
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.xref_missing"]  # links.py judges the anchors of the finished pages

highlight_language = "none"  # of blocks that do not name theirs; cells are Python
pygments_dark_style = "github-dark"
html_theme = "furo"
html_static_path = ["web"]
html_css_files = ["site.css"]
html_favicon = "web/favicon.svg"
html_js_files = ["frames.js"]
html_use_index = False
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_extra_path = ["extra"]
html_theme_options = {"navigation_with_keys": False}
html_math_renderer = "mathml"


def _mathml(formula: str, display: str) -> str:
    """Return a formula as MathML, with the small gap after a function's name that the converter leaves out."""
    mathml = convert(formula, display=display)
    return re.sub(r"<mi>(log|exp|sin|cos)</mi>(?!<mo)", r'\g<0><mspace width="0.17em"/>', mathml)


def _inline(writer, node):
    writer.body.append(_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _block(writer, node):
    writer.body.append(f'<div class="formula">{_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app):
    """Write formulas as MathML, which browsers draw without a script or a font."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
