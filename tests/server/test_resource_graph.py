"""Resource Graph by azure-mgmt-resourcegraph, unmodified: Microsoft's sample queries, the portal's
hotpatch query, pages, tables, and what is refused."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.resourcegraph import ResourceGraphClient
from azure.mgmt.resourcegraph.models import (
    FacetError,
    FacetRequest,
    FacetRequestOptions,
    FacetResult,
    QueryRequest,
    QueryRequestOptions,
)

from hotmend.model.agent_messages import AvailablePatch, Facts, InstallationState, RunKind
from hotmend.server.identity.roles import Role
from server.conftest import Plane
from server.machine import (
    CONNECTED,
    FACTS,
    PATCH,
    VIRTUAL,
    Machine,
    enrolled,
    installation,
)
from server.sdk import client
from server.test_hybrid_machines import ENROL, WINDOWS

KB = AvailablePatch(
    "KB5068840",
    "2025-11 Hotpatch",
    "",
    "Critical",
    "NeverReboots",
    hotpatch=True,
    kb="5068840",
)
SERVER = Facts("w", "Windows Server 2025", "10.0.26100.1742", "", "0.1", 1.0)
SPLIT = (
    '| extend machineName = tostring(split(id, "/", 8)), resourceType = tostring(split(type, "/", '
    '0)), tostring(rgName = split(id, "/", 4)), tostring(RunID = split(id, "/", 10))\n'
    "| extend prop = parse_json(properties)\n"
)
ROUNDED = (
    "| extend lTime = todatetime(prop.lastModifiedDateTime), patchName = tostring(prop.patchName), "
    "{0} = tostring(prop.{0}), installationState = tostring(prop.installationState), "
    "classifications = tostring(prop.classifications)\n| where lTime > ago(7d)\n"
    "| project lTime, RunID, machineName, rgName, resourceType, patchName, {0}, classifications, "
    "installationState\n| sort by RunID"
)
# Microsoft's sample-query-logs.md (2023-09-18), query by query.
BY_CATEGORY = """patchassessmentresources
| where type !has "softwarepatches"
| extend prop = parse_json(properties)
| extend lastTime = properties.lastModifiedDateTime
| extend updateRollupCount = prop.availablePatchCountByClassification.updateRollup, securityCount =
 prop.availablePatchCountByClassification.security, criticalCount =
 prop.availablePatchCountByClassification.critical, otherCount =
 prop.availablePatchCountByClassification.other, OS = prop.osType
| project lastTime, id, OS, updateRollupCount, securityCount, criticalCount, otherCount"""
INSTALLATIONS = (
    'patchinstallationresources\n| where type !has "softwarepatches"\n'
    + SPLIT
    + """| extend lTime = todatetime(prop.lastModifiedDateTime), OS = tostring(prop.osType),
 installedPatchCount = tostring(prop.installedPatchCount), failedPatchCount =
 tostring(prop.failedPatchCount)
| where lTime > ago(7d)
| project lTime, RunID=name,machineName, rgName, resourceType, OS, installedPatchCount,
 failedPatchCount"""
)
WINDOWS_UPDATES = (
    'patchinstallationresources\n| where type has "softwarepatches" and properties !has "version"\n'
    + SPLIT
    + ROUNDED.format("kbId")
)
LINUX_UPDATES = (
    'patchinstallationresources\n| where type has "softwarepatches" and properties has "version"\n'
    + SPLIT
    + ROUNDED.format("version")
)
# The portal's column "Hotpatch status", by its rules: image or system, licence, what was seen.
HOTPATCH_STATUS = """resources
| where type in~ ("microsoft.compute/virtualmachines", "microsoft.hybridcompute/machines")
| extend isVm = type =~ "microsoft.compute/virtualmachines"
| extend image = properties.storageProfile.imageReference
| extend hotpatchable = image.publisher =~ "microsoftwindowsserver" and image.sku matches regex
 "(?i)^20(22-datacenter-azure-edition-(core|hotpatch)|25-datacenter-azure-edition)(-.*)?$"
| extend wanted = tobool(properties.osProfile.windowsConfiguration.patchSettings.enableHotpatching)
| extend seen = coalesce(
 tostring(properties.osProfile.windowsConfiguration.patchSettings.status.hotpatchEnablementStatus),
 tostring(properties.osProfile.linuxConfiguration.patchSettings.status.hotpatchEnablementStatus))
| extend base = iff(properties.osType =~ "windows" and parse_version(tostring(properties.osVersion))
 >= parse_version("10.0.26100.0") and properties.osEdition in~ ("serverstandard",
 "serverdatacenter"), "Not Enrolled", "Not Available")
| mv-expand feature = properties.licenseProfile.productProfile.productFeatures
| extend licence = case(feature.subscriptionStatus =~ "Enabled", "Enabled",
 feature.subscriptionStatus =~ "Disabled", "Disabled",
 feature.subscriptionStatus in~ ("Enabling", "Disabling"), "Pending", "NoLicenseFound")
| extend resourceId = tolower(id)
| join kind=leftouter (patchassessmentresources
 | where type in~ ("microsoft.compute/virtualmachines/patchassessmentresults",
 "microsoft.hybridcompute/machines/patchassessmentresults")
 | parse id with resourceId '/patchAssessmentResults' *
 | extend resourceId = tolower(trim_end("/", resourceId))
 | project resourceId, assessed = properties.status) on resourceId
| extend status = iff(isVm,
 case(not(hotpatchable), "Not Available", isnull(assessed), "Pending Evaluation",
 wanted == true, "Enabled", "Disabled"),
 case(licence == "Disabled", "Canceled", licence == "Pending", "Pending",
 licence == "NoLicenseFound", base, seen == "Enabled", "Enabled", seen == "PendingEvaluation",
 "Pending", seen == "ActionRequired", "Action Required", "Disabled"))
| project name, status
| order by name asc"""


@pytest.fixture(scope="module")
def graph(plane: Plane, trusted: None) -> ResourceGraphClient:
    return client(ResourceGraphClient, plane, whole=True)


@pytest.fixture(scope="module", autouse=True)
def seen(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A Debian machine and a Windows one, assessed and installed; ids of their installations."""
    folder = tmp_path_factory.mktemp("graph")
    ids = {}
    for name, kind, facts, patch in (
        ("graphdeb", VIRTUAL, FACTS, PATCH),
        ("graphwin", CONNECTED, SERVER, KB),
    ):
        machine = enrolled(plane, name, folder, kind, facts)
        _ordered(plane, machine, kind, "assessPatches", {}, patch)
        wanted = {
            "maximumDuration": "PT2H",
            "rebootSetting": "Never",
            "linuxParameters": {"classificationsToInclude": ["Critical", "Security"]},
        }
        if kind == CONNECTED:  # as its owner says it is
            path = f"resourceGroups/fleet/providers/{kind}/{name}"
            assert plane.call("PUT", path, WINDOWS).status == 200
        ids[name] = _ordered(plane, machine, kind, "installPatches", wanted, patch)
    return ids


def _ordered(
    plane: Plane, machine: Machine, kind: str, action: str, body: Any, patch: AvailablePatch
) -> str:
    path = f"resourceGroups/fleet/providers/{kind}/{machine.name}/{action}"
    assert plane.call("POST", path, body).status == 202
    [order] = machine.poll().orders
    if order.kind is RunKind.ASSESS:
        assert machine.report(machine.assessed(order.id, patch)).accepted
        return order.id
    done = installation(machine, order.id)
    assert done.installation is not None
    result = replace(
        done.installation.patches[0], article=patch.article, name=patch.name, kb=patch.kb
    )
    done = replace(done, installation=replace(done.installation, patches=(result,)))
    assert machine.report(done).accepted
    return order.id


def rows(graph: ResourceGraphClient, query: str, **options: Any) -> Any:
    return graph.resources(
        QueryRequest(query=query, options=QueryRequestOptions(**options) if options else None)
    )


def mine(graph: ResourceGraphClient, query: str) -> list[dict[str, Any]]:
    """Of the two machines, whatever else other tests have made."""
    return [row for row in rows(graph, query).data if "graph" in str(row)]


def test_updates_by_category(graph: ResourceGraphClient) -> None:
    found = {row["OS"]: row for row in mine(graph, BY_CATEGORY)}
    assert found["Linux"]["securityCount"] == 1 and found["Linux"]["criticalCount"] == 0
    assert found["Windows"]["criticalCount"] == 1 and found["Windows"]["updateRollupCount"] == 0
    assert found["Linux"]["id"].endswith("/virtualMachines/graphdeb/patchAssessmentResults/latest")


def test_installations_of_the_last_week(graph: ResourceGraphClient, seen: dict[str, str]) -> None:
    found = {row["RunID"]: row for row in mine(graph, INSTALLATIONS)}
    row = found[seen["graphdeb"]]
    assert (row["installedPatchCount"], row["failedPatchCount"]) == ("1", "0")
    assert (row["machineName"], row["rgName"]) == ('["graphdeb"]', ["fleet"])
    assert row["resourceType"] == '["microsoft.compute"]'
    later = INSTALLATIONS.replace("> ago(7d)", "> now()")
    assert later != INSTALLATIONS and not mine(graph, later), "the condition is looked at"


def test_updates_of_windows_and_of_linux(graph: ResourceGraphClient, seen: dict[str, str]) -> None:
    [windows] = mine(graph, WINDOWS_UPDATES)
    assert (windows["kbId"], windows["patchName"]) == ("5068840", KB.name)
    assert windows["installationState"] == InstallationState.INSTALLED.value
    assert windows["RunID"] == [seen["graphwin"]]
    [linux] = mine(graph, LINUX_UPDATES)
    assert (linux["version"], linux["classifications"]) == (PATCH.version, '["Security"]')


def test_the_portals_hotpatch_status(plane: Plane, graph: ResourceGraphClient) -> None:
    path = f"resourceGroups/fleet/providers/{CONNECTED}/graphwin"

    def status() -> dict[str, str]:
        return {row["name"]: row["status"] for row in mine(graph, HOTPATCH_STATUS)}

    assert status() == {"graphdeb": "Not Available", "graphwin": "Not Enrolled"}
    assert plane.call("PUT", f"{path}/licenseProfiles/default", ENROL).status == 200
    assert status()["graphwin"] == "Pending"
    assert plane.call("DELETE", f"{path}/licenseProfiles/default").status == 204
    assert status()["graphwin"] == "Not Enrolled"


def test_pages_and_tables(graph: ResourceGraphClient) -> None:
    query = "patchassessmentresources | where id contains '/graph' | order by id asc | project id"
    whole = rows(graph, query)
    assert (whole.count, whole.total_records, whole.result_truncated) == (4, 4, "false")
    first = rows(graph, query, top=3)
    assert (first.count, first.total_records) == (3, 4) and first.skip_token
    second = rows(graph, query, top=3, skip_token=first.skip_token)
    assert first.data + second.data == whole.data and second.skip_token is None
    assert rows(graph, query, skip=1, top=1).data == whole.data[1:2]
    table = rows(graph, query, result_format="table").data
    assert table["columns"] == [{"name": "id", "type": "string"}]
    assert table["rows"] == [[row["id"]] for row in whole.data]


def test_facets(plane: Plane, graph: ResourceGraphClient) -> None:
    """Each counts the rows of the query; one that is wrong spoils no other."""
    query = "resources | where type =~ 'microsoft.hybridcompute/machines' // all of them"
    whole = rows(graph, query).data
    wanted = [
        FacetRequest(expression="location"),
        FacetRequest(expression="no such thing ("),
        FacetRequest(
            expression="name",
            options=FacetRequestOptions(sort_by="name", sort_order="asc", top=1),
        ),
        FacetRequest(expression="type", options=FacetRequestOptions(filter="name =~ 'nobody'")),
    ]
    asked = QueryRequest(query=query, subscriptions=[plane.subscription], facets=wanted)
    places, wrong, names, nobody = graph.resources(asked).facets
    assert isinstance(places, FacetResult) and places.expression == "location"
    counted = Counter(row["location"] for row in whole)
    assert {row["location"]: row["count"] for row in places.data} == counted
    assert [row["count"] for row in places.data] == sorted(counted.values(), reverse=True)
    assert isinstance(wrong, FacetError) and wrong.errors[0].code
    named = Counter(row["name"] for row in whole)
    assert isinstance(names, FacetResult) and isinstance(nobody, FacetResult)
    assert (names.data, names.count, names.total_records) == (
        [{"name": min(named), "count": named[min(named)]}],
        1,
        len(named),
    )
    assert (nobody.count, nobody.data) == (0, [])


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("resources | where", "ParserFailure", "line 1"),
        ("resources | frobnicate", "ParserFailure", "'frobnicate' does not belong there"),
        ("secrets", "DisallowedLogicalTableName", "Table secrets is invalid"),
        ("resources | where nope == 1", "InvalidQuery", "named 'nope'"),
        ("resources | extend x = system(id)", "InvalidQuery", "Unknown function: 'system'"),
        ("resources | where id matches regex '('", "InvalidQuery", "no regular expression"),
        ("resources | take 1" + " " * 20_000, "QueryTooLong", "20000 characters"),
        (f"resources | where {'(' * 61}1{')' * 61} == 1", "QueryTooDeep", "60 deep"),
        ("resources | extend x=" + "-" * 3000 + "1", "QueryTooDeep", "too deeply"),
    ],
)
def test_what_is_no_query(graph: ResourceGraphClient, query: str, code: str, message: str) -> None:
    with pytest.raises(HttpResponseError) as no:
        rows(graph, query)
    assert (no.value.status_code, no.value.error.code) == (400, "BadRequest")
    outer, inner = no.value.error.details
    assert outer.code == "InvalidQuery" and inner.code == code and message in inner.message
    assert rows(graph, "resources | take 1").count == 1


def test_an_expression_that_never_ends_elsewhere(graph: ResourceGraphClient) -> None:
    began = time.monotonic()
    text = "a" * 5000
    query = f'resources | take 1 | where strcat("{text}", "!") matches regex "^(a+)+$"'
    assert rows(graph, query).count == 0
    assert time.monotonic() - began < 5
    assert rows(graph, query.replace('"!"', '""')).count == 1


def test_everybody_sees_what_is_theirs(plane: Plane) -> None:
    group = f"/subscriptions/{plane.subscription}/resourceGroups"
    path = "/providers/Microsoft.ResourceGraph/resources"
    body = {"query": "patchassessmentresources | where id contains 'graph' | count"}
    counts = [
        plane.call("POST", path, body, token=plane.token_for(Role.VIEWER, scope)).body["data"]
        for scope in ("/", f"{group}/fleet", f"{group}/fleet2")
    ]
    assert counts == [[{"Count": 4}], [{"Count": 4}], [{"Count": 0}]]
