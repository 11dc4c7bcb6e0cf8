"""The only place where text becomes markup. Whatever is not `Markup` already is escaped, so trace text can't become an element.

Elements and attributes are named by our own code, never by data; links lead to anchors of the same page and nowhere else.
"""

from __future__ import annotations

import html
import re
import unicodedata

INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that can't be seen or that reorder what can: shown as their code point."""
MARKDOWN = re.compile(r"[\\`*\[\]|~$>]|(?<!\w)_|_(?!\w)|(?<=\w):(?=//)|(?<=www)\.|^[#+-]|(?<=^\d)[.)]", re.IGNORECASE)
VOID = {"br", "meta"}
STILL = "mathjax_ignore tex2jax_ignore"


class Markup(str):
    """Text that is markup because our code made it so. Only `element` and `join` make it."""

    __slots__ = ()


def visible(text: str) -> str:
    """Text with control, surrogate and direction-changing characters shown as code points; line breaks and tabs stay."""
    return "".join(letter if letter in "\n\t" or unicodedata.category(letter) not in INVISIBLE else f"\\u{ord(letter):04x}" for letter in text)


def escape(text: str) -> Markup:
    """Text as HTML text or attribute value: inert wherever it stands."""
    return text if isinstance(text, Markup) else Markup(html.escape(visible(text), quote=True))


def element(name: str, /, *children: str, **attributes: str | float | bool | None) -> Markup:
    """An HTML or SVG element. Children that are not markup are escaped, attribute values always; `class_` stands for `class`, None and False for absence."""
    given = [(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None and value is not False]
    opening = name + "".join(f" {key}" if value is True else f' {key}="{html.escape(visible(str(value)), quote=True)}"' for key, value in given)
    return Markup(f"<{opening}>") if name in VOID and not children else Markup(f"<{opening}>{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """Children one after the other, escaped where they are not markup."""
    return Markup("".join(escape(child) for child in children))


def still(*children: str) -> str:
    r"""A static view in a notebook: its children in one element that MathJax passes over (by the classes of its versions 3 and 2).

    JupyterLab and nbconvert take every `$…$` in an output's HTML for a formula, after their sanitizer has seen it; and a formula may hold a link
    to a script (`\href{javascript:…}`) or a style that fetches.
    """
    return str(element("div", *children, class_=STILL))  # a plain one: marimo can't send a subclass of str


def markdown(text: str) -> str:
    """Text as Markdown text on one line: no link, image, emphasis, table cell or HTML comes of it."""
    return MARKDOWN.sub(r"\\\g<0>", visible(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;"))


def markdown_code(text: str) -> str:
    """Text as a fenced Markdown block, the fence longer than any run of backticks inside."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}text\n{visible(text)}\n{fence}"
