"""One fleet, four ways to ask: portal, command line, REST and Resource Graph say the same."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from client.conftest import Terminal
from hotmend.model.agent_messages import AvailablePatch
from hotmend.server.identity import sessions
from hotmend.server.storage import compliance, inventory
from portal import browser
from server.conftest import Plane
from server.machine import PATCH, enrolled

OTHER = AvailablePatch("tzdata=2026c", "tzdata", "2026c", "Other", "CanRequestReboot", False)
PATCHES = {"a": (PATCH, OTHER), "b": (OTHER,), "c": (), "d": (PATCH,)}


@dataclass(frozen=True)
class Numbers:
    """(urgent, others) by machine that was assessed, and who is without news."""

    by_machine: dict[str, tuple[int, int]]
    nothing_known: frozenset[str]


EXPECTED = Numbers({"a": (1, 1), "b": (0, 1), "c": (0, 0), "d": (1, 0)}, frozenset("e"))


@pytest.fixture(scope="module")
def five(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Plane:
    """Four were assessed, "a" twice; nothing is known of the fifth."""
    folder = tmp_path_factory.mktemp("machines")
    number = 0
    for name in "abcde":
        machine = enrolled(plane, name, folder)
        for patches in ((OTHER,) * (name == "a"), PATCHES.get(name)):
            if patches or (patches == () and name == "c"):
                number += 1
                run = machine.assessed(f"00000000-0000-4000-8000-{number:012}", *patches)
                assert machine.report(run).accepted
    return plane


def of_the_api(machines: list[dict[str, object]]) -> Numbers:
    known = {str(m["name"]): m for m in machines}
    return Numbers(
        {
            name: (m["criticalAndSecurityPatchCount"], m["otherPatchCount"])  # type: ignore[misc]
            for name, m in known.items()
            if m["assessed"] is not None
        },
        frozenset(name for name, m in known.items() if m["assessed"] is None),
    )


def test_rest_says_it(five: Plane) -> None:
    answer = five.call("GET", "providers/Hotmend.Fleet/machines")
    assert of_the_api(answer.body["value"]) == EXPECTED


def test_the_command_line_says_the_same(five: Plane, tmp_path: Path) -> None:
    hotmend = Terminal(tmp_path, {"HOTMEND_SECRET": five.secret})
    hotmend("login", five.base, "--ca", five.authority, "--client", five.client, check=0)
    said = json.loads(hotmend("machines", "--json", check=0).out)
    assert of_the_api(said["machines"]) == EXPECTED


def test_resource_graph_says_the_same(five: Plane) -> None:
    query = (
        "patchassessmentresources | where type endswith 'patchassessmentresults' "
        "| extend n = properties.availablePatchCountByClassification "
        "| project machine = tostring(split(id, '/', 8)), urgent = toint(n.critical) + "
        "toint(n.security), other = toint(n.other)"
    )
    path = "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01"
    body = {"query": query, "subscriptions": [five.subscription]}
    rows = five.call("POST", path, body).body["data"]
    found = {row["machine"].strip('[]"'): (row["urgent"], row["other"]) for row in rows}
    assert found == EXPECTED.by_machine


def test_the_portal_says_the_same(five: Plane) -> None:
    cookie = {"Cookie": f"{sessions.COOKIE}={browser.session_of(five)}"}

    def text(path: str) -> str:
        return five.pool.request("GET", five.base + path, headers=cookie).data.decode()

    lines = list(csv.DictReader(io.StringIO(text("/portal/machines.csv"))))
    unknown = {line["Name"] for line in lines if line["Update status"] == "nodata"}
    available = {line["Name"] for line in lines if line["Update status"] == "available"}
    assert unknown == EXPECTED.nothing_known
    assert available == {name for name, counts in EXPECTED.by_machine.items() if any(counts)}
    for name, (urgent, others) in EXPECTED.by_machine.items():
        path = f"/portal/machines/{five.subscription}/fleet/vm/{name}"
        assert text(f"{path}/updates").count("/portal/patch?article=") == urgent
        assert text(f"{path}/compliance").count("/portal/patch?article=") == others
    with five.control.database.reading() as connection:
        numbers = compliance.numbers(connection, inventory.within(["/"]))
    # Two machines each have one process that runs old code: the same one number everywhere.
    assert numbers.vulnerable == 2
    assert ">2</a></p>" in text("/portal/")
    assert sum(int(line["Vulnerable processes"]) for line in lines if line["Name"] != "e") == 2
