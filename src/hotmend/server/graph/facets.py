"""Facets: how many rows of a query's result there are for each value of an expression. Pure.

Source: FacetRequest and FacetRequestOptions of Resource Graph's API. A facet is a query itself, the
first one with a few steps more; what it counts is called ``count_`` until it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hotmend.server.graph.evaluate import Rows

COUNT = "count"
_COUNTED = "count_"


@dataclass(frozen=True)
class Facet:
    """``expression``: a column, or several; ``condition``: which rows are counted, "" for all;
    ``by``: what is sorted by."""

    expression: str
    condition: str = ""
    by: str = COUNT
    descending: bool = True

    def of(self, query: str) -> str:
        """The query that counts the result of ``query``."""
        steps = [query]
        if self.condition:
            steps.append(f"where {self.condition}")
        steps.append(f"summarize {_COUNTED} = count() by {self.expression}")
        by = _COUNTED if self.by == COUNT else self.by
        steps.append(f"sort by {by} {'desc' if self.descending else 'asc'}")
        return "\n| ".join(steps)


def shown(rows: Rows) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Columns and rows with the count under its own name."""
    names = {name: COUNT if name == _COUNTED else name for name in rows.columns}
    return tuple(names.values()), [{names[n]: row.get(n) for n in names} for row in rows.rows]
