"""Tables in documents: what stands between `<!-- NAME -->` and `<!-- end -->` is replaced."""

from __future__ import annotations

import re

from jepa_lab.errors import UserError


def fill(document: str, name: str, content: str) -> str:
    """The document with what stands between `<!-- name -->` and `<!-- end -->` replaced. UserError without the mark."""
    pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(\n<!-- end -->)", re.S)
    if not pattern.search(document):
        raise UserError(f"the document has no mark <!-- {name} -->, closed by <!-- end -->")
    return pattern.sub(lambda match: f"{match[1]}\n{content}\n{match[2]}", document)
