"""From what a page shows to its text: templates that escape whatever they are given."""

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from evoae_cli.page import paper
from evoae_cli.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

    from evoae_cli.page.comparison_page import ComparisonPage
    from evoae_cli.page.study_page import StudyPage

_TEMPLATES = files("evoae_cli.page") / "templates"


def render_study(page: "StudyPage") -> str:
    """The page of one study as HTML."""
    return _render("study.html", page=page, care=paper.care_for(number.objective for number in page.paper))


def render_comparison(page: "ComparisonPage") -> str:
    """The page of several studies as HTML."""
    return _render("comparison.html", page=page, care=paper.care_for(number.objective for number in page.paper))


def _render(name: str, **values: Any) -> str:
    css = Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8"))
    return (
        _environment()
        .get_template(name)
        .render(
            css=css,
            version=__version__,
            conclusion=paper.CONCLUSION,
            paper_title=paper.TITLE,
            **values,
        )
    )


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(name: str) -> str:
        return (_TEMPLATES / name).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(load), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["breakable"] = breakable
    return environment


def breakable(genotype: str) -> Markup:
    """A genotype that lines break between its parts alone."""
    parts = re.split(r"(?<=[/,])|(?<= - )", genotype)
    return Markup("<wbr>").join(Markup('<span class="nw">{}</span>').format(part) for part in parts)
