"""Settings of Sphinx for the chapters as web pages; `pages.py` puts the pages together."""

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

html_theme = "furo"
html_static_path = ["web"]
html_css_files = ["site.css"]
html_js_files = ["frames.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_extra_path = ["extra"]
html_theme_options = {"navigation_with_keys": False}
html_math_renderer = "mathml"


def _inline(writer, node):
    from docutils import nodes

    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _block(writer, node):
    from docutils import nodes

    writer.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app):
    """Write formulas as MathML, which browsers draw without a script or a font."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
