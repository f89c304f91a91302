"""Pages from templates: whatever is put into one is escaped."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["render"]


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("hrcam_monai"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(name: str, **values: Any) -> str:
    """A template of `hrcam_monai/templates`, filled in.

    Args:
        name: of its file.
        values: what its names stand for; text is escaped.

    Raises:
        jinja2.TemplateNotFound: no such template.
        jinja2.UndefinedError: a name that the template asks for is not among the values.
    """
    return _environment().get_template(name).render(**values)
