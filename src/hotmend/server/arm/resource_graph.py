"""``Microsoft.ResourceGraph/resources``: one question over everything that the caller may see."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from hotmend.server.arm.access import Access
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.graph import facets, values
from hotmend.server.graph.errors import QueryError
from hotmend.server.graph.evaluate import Rows, evaluated
from hotmend.server.graph.parse import parsed
from hotmend.server.graph.tables import Asked, tables

_READ = "Microsoft.ResourceGraph/resources/read"
MOST_ON_A_PAGE = 1000
MOST_FACETS = 10
_TOKEN = "hotmend-"


class Options(BaseModel):
    """``$skipToken``: of the answer before; it takes the place of ``$skip``."""

    model_config = ConfigDict(extra="allow")

    top: int = Field(default=MOST_ON_A_PAGE, alias="$top", ge=1, le=MOST_ON_A_PAGE)
    skip: int = Field(default=0, alias="$skip", ge=0, le=1 << 31)
    skip_token: str | None = Field(default=None, alias="$skipToken", max_length=200)
    format: str = Field(default="objectArray", alias="resultFormat", max_length=20)


class FacetOptions(BaseModel):
    """``filter``: a condition on the query's rows."""

    model_config = ConfigDict(extra="allow")

    sort_by: str = Field(default=facets.COUNT, alias="sortBy", max_length=200)
    sort_order: Literal["asc", "desc"] = Field(default="desc", alias="sortOrder")
    filter: str = Field(default="", max_length=2000)
    top: int = Field(default=MOST_ON_A_PAGE, alias="$top", ge=1, le=MOST_ON_A_PAGE)


class FacetBody(BaseModel):
    """FacetRequest."""

    model_config = ConfigDict(extra="allow")

    expression: str = Field(max_length=1000)
    options: FacetOptions | None = None


class QueryBody(BaseModel):
    """QueryRequest."""

    model_config = ConfigDict(extra="allow")

    query: str
    subscriptions: list[str] | None = None
    options: Options | None = None
    facets: list[FacetBody] | None = Field(default=None, max_length=MOST_FACETS)


def router(control: Control, access: Access) -> APIRouter:
    """One route."""
    routes = APIRouter(tags=["resource graph"])

    @routes.post("/providers/Microsoft.ResourceGraph/resources", **access.to(_READ, filtered=True))
    def query(body: QueryBody, request: Request) -> dict[str, Any]:
        own = control.folder.subscription
        named = body.subscriptions
        if named and own.lower() not in (one.lower() for one in named):
            raise _bad(
                "NoValidSubscriptionsInQueryRequest",
                "There must be at least one subscription that is eligible to contain resources.",
            )
        options = body.options or Options()
        now = control.clock()
        with control.database.reading() as connection:
            asked = Asked(
                connection,
                own,
                control.folder.tenant,
                lambda place: access.readable(request, _READ, place),
                now,
            )

            def rows(text: str) -> Rows:
                at = datetime.fromtimestamp(now, UTC)
                return evaluated(parsed(text), tables(asked), at, time.monotonic)

            try:
                found = rows(body.query)
            except QueryError as error:
                raise _bad(error.code, str(error)) from None
            counted = [_facet(facet, body.query, rows, options) for facet in body.facets or ()]
        return _answer(found, options, counted)

    return routes


def _facet(
    asked: FacetBody, query: str, rows: Callable[[str], Rows], options: Options
) -> dict[str, Any]:
    """A FacetResult, or the FacetError: the rest of the answer does not suffer from it."""
    chosen = asked.options or FacetOptions()
    descending = chosen.sort_order == "desc"
    facet = facets.Facet(asked.expression, chosen.filter, chosen.sort_by, descending)
    try:
        columns, found = facets.shown(rows(facet.of(query)))
    except QueryError as error:
        wrong = {"code": error.code, "message": str(error)}
        return {"expression": asked.expression, "resultType": "FacetError", "errors": [wrong]}
    page = found[: chosen.top]
    return {
        "expression": asked.expression,
        "resultType": "FacetResult",
        "totalRecords": len(found),
        "count": len(page),
        "data": _data(columns, page, options.format),
    }


def _answer(found: Rows, options: Options, counted: list[dict[str, Any]]) -> dict[str, Any]:
    start = options.skip if options.skip_token is None else _place(options.skip_token)
    page = found.rows[start : start + options.top]
    answer = {
        "totalRecords": len(found.rows),
        "count": len(page),
        "resultTruncated": "false",
        "facets": counted,
        "data": _data(found.columns, page, options.format),
    }
    if start + len(page) < len(found.rows) and page:
        answer["$skipToken"] = base64.urlsafe_b64encode(
            f"{_TOKEN}{start + len(page)}".encode()
        ).decode()
    return answer


def _data(columns: tuple[str, ...], page: list[dict[str, Any]], form: str) -> Any:
    rows = [{name: _sent(row.get(name)) for name in columns} for row in page]
    if form.lower() == "objectarray":
        return rows
    if form.lower() != "table":
        raise _bad("InvalidQuery", "'resultFormat' is objectArray or table.")
    return {
        "columns": [{"name": n, "type": _type(n, page)} for n in columns],
        "rows": [[row[name] for name in columns] for row in rows],
    }


def _sent(value: Any) -> Any:
    """Times and spans as texts."""
    if isinstance(value, list):
        return [_sent(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str | dict):
        return value
    return values.text(value)


def _type(name: str, page: list[dict[str, Any]]) -> str:
    """Of the first value that there is."""
    value = next((row[name] for row in page if row.get(name) is not None), "")
    for kind, word in (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (datetime, "datetime"),
    ):
        if isinstance(value, kind):
            return word
    return "object"


def _place(token: str) -> int:
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        text = ""
    number = text.removeprefix(_TOKEN)
    if text == number or not (number.isascii() and number.isdigit() and len(number) < 10):
        raise _bad("InvalidSkipToken", "The '$skipToken' was not made here.")
    return int(number)


def _bad(code: str, message: str) -> ArmError:
    """As Resource Graph says what is wrong: the reason is in the details."""
    return ArmError(
        400,
        "BadRequest",
        "Please provide below info when asking for support: the header x-ms-correlation-request-id "
        "of this answer.",
        details=(
            ArmError(
                400,
                "InvalidQuery",
                "Query is invalid. Please refer to the documentation for the Azure Resource Graph "
                "service and fix the error before retrying.",
            ),
            ArmError(400, code, message),
        ),
    )
