"""Tables in a page, between marks that name the script that writes them."""

from __future__ import annotations


def put(page: str, name: str, script: str, table: str) -> str:
    """The page with `table` between the marks of `name`; ends the script where they are missing."""
    mark, end = f"<!-- {name}: by scripts/{script} -->\n", "<!-- end -->"
    before, found, rest = page.partition(mark)
    if not found or end not in rest:
        raise SystemExit(f"the page has no place marked for {name}")
    return before + mark + table + rest[rest.index(end) :]
