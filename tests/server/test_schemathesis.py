"""The published OpenAPI against the server: whatever schemathesis makes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from server.conftest import Plane, new_database, serving

_EXAMPLES = 50 if os.environ.get("HOTMEND_FULL") else 4
_SETTINGS = settings(
    max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
load_all_checks()
# What the schema promises and a server may get wrong. Left out: checks on what this API means to
# do otherwise, as Azure does (unknown methods, 404 for what was never made).
WANTED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@pytest.fixture(scope="module")
def fresh(
    database_url: str, request: pytest.FixtureRequest, tmp_path_factory: Any
) -> Iterator[Plane]:
    """A plane of its own: it is filled with nonsense."""
    url = new_database(request.getfixturevalue("cluster")) if database_url else ""
    with serving(tmp_path_factory.mktemp("schemathesis"), url) as made:
        yield made


def test_no_answer_breaks_the_schema(fresh: Plane) -> None:
    raw = fresh.call("GET", "/openapi.json").body
    schema = schemathesis.openapi.from_dict(raw)
    schema.config.update(base_url=fresh.base)
    checks = [CHECKS.get_one(name) for name in WANTED]
    sent = 0

    def attempt(case: Any) -> None:
        nonlocal sent
        sent += 1
        if "subscription" in (case.path_parameters or {}):
            case.path_parameters["subscription"] = fresh.subscription
        case.call_and_validate(
            headers={"Authorization": f"Bearer {fresh.token}"},
            verify=str(fresh.authority),
            checks=checks,
        )

    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:
        for mode in GenerationMode:
            strategy = operation.as_strategy(generation_mode=mode)
            try:
                _SETTINGS(given(strategy)(attempt))()
            except (SkipTest, Unsatisfiable):  # nothing about it can be wrong
                continue
    assert len(operations) > 50 and sent > len(operations) * _EXAMPLES
    print(f"{sent} requests to {len(operations)} operations")


def test_a_wrong_answer_would_be_seen(fresh: Plane, tmp_path: Path) -> None:
    """The control: a schema that promises something else."""
    raw = fresh.call("GET", "/openapi.json").body
    raw["paths"] = {"/tenants": {"get": {"responses": {"204": {"description": ""}}}}}
    schema = schemathesis.openapi.from_dict(raw)
    schema.config.update(base_url=fresh.base)
    case = schema["/tenants"]["GET"].Case()
    with pytest.raises(BaseException, match="Undocumented"):
        case.call_and_validate(
            headers={"Authorization": f"Bearer {fresh.token}"},
            verify=str(fresh.authority),
            checks=[CHECKS.get_one("status_code_conformance")],
        )
