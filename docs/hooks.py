"""What is made when the site is built: the page of every key, and formulas as MathML, which needs no script."""

import html
import re

from latex2mathml.converter import convert

from cytostorm.scripts.cli import COMMANDS, JOBS
from cytostorm.scripts.keys import page

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.+?)\\[)\]]</\1>', re.DOTALL)
KEYS = "<!-- every key -->"


def on_page_markdown(markdown, **_):
    """Write every key of the configuration where a page asks for it."""
    return markdown.replace(KEYS, page(JOBS | {"sweep": COMMANDS["sweep"]})) if KEYS in markdown else markdown


def on_page_content(content, **_):
    """Replace every formula of a page."""

    def mathml(match):
        return convert(html.unescape(match[3]), display="inline" if match[2] == "(" else "block")

    return FORMULA.sub(mathml, content)
