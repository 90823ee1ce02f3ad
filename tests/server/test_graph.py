"""The query language on rows at hand: operators, values, and the bounds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hotmend.server.graph import evaluate
from hotmend.server.graph.errors import QueryError
from hotmend.server.graph.evaluate import Rows, evaluated
from hotmend.server.graph.parse import parsed

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ROWS = [
    {"id": "/a/One", "n": 1, "tags": {"ring": "x"}, "list": [1, 2], "when": "2026-01-30T00:00:00Z"},
    {"id": "/a/two", "n": 2, "tags": {"ring": "Y"}, "list": [], "when": "2026-01-01T00:00:00Z"},
    {"id": "/b/three", "n": None, "tags": None, "list": None, "when": None},
]


def ask(query: str, clock: Any = lambda: 0.0) -> list[dict[str, Any]]:
    tables = {"t": lambda: Rows(("id", "n", "tags", "list", "when"), ROWS)}
    return evaluated(parsed(query), tables, NOW, clock).rows


def ids(query: str) -> list[str]:
    return [row["id"].rpartition("/")[2] for row in ask(query)]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("n == 1", ["One"]),
        ("n != 1", ["two", "three"]),
        ("n > 1 or n < 2", ["One", "two"]),
        ("isnull(n)", ["three"]),
        ("isnotnull(n) and not(n == 1)", ["two"]),
        ("id =~ '/A/ONE'", ["One"]),
        ("id == '/A/ONE'", []),
        ("id !~ '/A/ONE'", ["two", "three"]),
        ("id has 'one'", ["One"]),
        ("id has 'on'", []),
        ("id !has 'one'", ["two", "three"]),
        ("id contains 'O'", ["One", "two"]),
        ("id contains_cs 'O'", ["One"]),
        ("id startswith '/B'", ["three"]),
        ("id endswith 'E'", ["One", "three"]),
        ("id matches regex '^/a/[a-z]+$'", ["two"]),
        ("tags.ring in~ ('X', 'y')", ["One", "two"]),
        ("tags['ring'] in ('X', 'Y')", ["two"]),
        ("tags.ring !in~ ('x')", ["two", "three"]),
        ("n in (dynamic([1, 2]))", ["One", "two"]),
        ("tags has 'ring'", ["One", "two"]),
        ("isempty(tags.none)", ["One", "two", "three"]),
        ("todatetime(when) > ago(7d)", ["One"]),
        ("when > datetime(2026-01-15)", ["One"]),
        ("n between (2 .. 5)", ["two"]),
        ("list[0] == 1 and list[-1] == 2", ["One"]),
        ("n + 1 == 3 and n * 2.0 == 4", ["two"]),
        ("1 / 0 == 1", []),
    ],
)
def test_where(condition: str, found: list[str]) -> None:
    assert ids(f"t | where {condition}") == found


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("iff(n == 1, 'a', 'b')", "a"),
        ("case(n == 2, 'a', n == 1, 'b', 'c')", "b"),
        ("coalesce(tags.none, '', tags.ring)", "x"),
        ("split(id, '/', 2)", ["One"]),
        ("split(id, '/', 9)", []),
        ("strcat(tolower(id), n)", "/a/one1"),
        ("trim_end('n?e', id)", "/a/O"),
        ("parse_json('{\"a\":[true]}').a[0]", True),
        ("parse_version('10.0.26100.1') > parse_version('10.0.9')", True),
        ("tostring(tags)", '{"ring":"x"}'),
        ("array_length(list)", 2),
        ("substring(id, 1, 1)", "a"),
        ("toint('5') - 7", -2),
        ("-n", -1),
        ("tostring(todatetime(when))", "2026-01-30T00:00:00.0000000Z"),
        ("999999999999999999 * 999999999999999999", None),
        ('"\\u0041" == "A"', True),
        ("@'a\\b'", "a\\b"),
    ],
)
def test_values(expression: str, value: Any) -> None:
    [row] = ask(f"t | where n == 1 | project x = {expression}")
    assert row["x"] == value and type(row["x"]) is type(value)


def test_columns() -> None:
    assert list(ask("t | project id, tags.ring | take 1")[0]) == ["id", "tags_ring"]
    assert list(ask("t | project-away t*, n, list | take 1")[0]) == ["id", "when"]
    [row] = ask("t | take 1 | extend n = n + 1, tostring(part = split(id, '/', 1)) | extend m = n")
    assert (row["n"], row["part"], row["m"]) == (2, ["a"], 2)
    found = ask("t | parse id with '/' first '/' rest | project first, rest")
    assert found[2] == {"first": "b", "rest": "three"}
    assert ask("t | take 1 | parse id with 'x' y | project y") == [{"y": None}]
    assert ask("t | distinct strlen(id) | count") == [{"Count": 2}]


def test_order() -> None:
    assert ids("t | order by n") == ["two", "One", "three"]
    assert ids("t | sort by n asc") == ["three", "One", "two"]
    assert ids("t | sort by n asc nulls last") == ["One", "two", "three"]
    assert ids("t | top 1 by id asc") == ["One"]
    assert ids("t | extend l = strlen(id) | sort by l desc, id desc | limit 2") == ["three", "two"]


def test_groups() -> None:
    found = ask(
        "t | summarize count(), most = max(n), dcount(id) by part = tostring(split(id,'/',1))"
    )
    assert found == [
        {"part": '["a"]', "count_": 2, "most": 2, "dcount_id": 2},
        {"part": '["b"]', "count_": 1, "most": None, "dcount_id": 1},
    ]
    assert ask("t | where n == 9 | summarize count(), min(n)") == [{"count_": 0, "min_n": None}]


def test_lists_joins_unions() -> None:
    assert [row["list"] for row in ask("t | mv-expand list")] == [1, 2, None, None]
    assert [row["x"] for row in ask("t | mv-expand x = list limit 1")] == [1, None, None]
    left = "t | project id, n | join kind=leftouter (t | where n == 1 | project id, ring=tags.ring)"
    assert [(row["n"], row["ring"]) for row in ask(f"{left} on id")] == [
        (1, "x"),
        (2, None),
        (None, None),
    ]
    inner = "t | join kind=inner (t | project key = id) on $left.id == $right.key | project key"
    assert len(ask(inner)) == 3
    assert len(ask("t | union (t | take 1), t")) == 7


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "ParserFailure"),
        ("t | where 'open", "ParserFailure"),
        ("t | where '\\ud800' == id", "ParserFailure"),
        ("t | take 99999999999999999999", "ParserFailure"),
        ("t | where id == datetime(soon)", "ParserFailure"),
        ("t | extend x = tolower()", "InvalidQuery"),
        ("t | summarize tolower(id)", "InvalidQuery"),
        ("t | join (t) on nothing", "InvalidQuery"),
        ("u", "DisallowedLogicalTableName"),
        ("t | extend x = " + "+".join(["1"] * 5000), "QueryTooDeep"),
    ],
)
def test_what_is_refused(query: str, code: str) -> None:
    with pytest.raises(QueryError) as no:
        ask(query)
    assert no.value.code == code and str(no.value).endswith(".")


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    grow = "t" + " | union t" * 3
    assert len(ask(grow)) == 12
    monkeypatch.setattr(evaluate, "MOST_ROWS", 10)
    with pytest.raises(QueryError, match="more than 10 rows"):
        ask(grow)
    monkeypatch.undo()
    many = "t" + " | union t" * 200
    times = iter(range(0, 10_000, 30))
    with pytest.raises(QueryError, match="longer than 20 seconds"):
        ask(many, lambda: next(times))
    double = " | extend s = strcat(s, s)"
    assert len(ask("t | extend s = id" + double * 3)[0]["s"]) == 48
    with pytest.raises(QueryError, match=r"strcat\(\) made more than"):
        ask("t | extend s = id" + double * 40)
