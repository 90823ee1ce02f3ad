"""For scanners: what is live on a machine, as OpenVEX 0.2.0 and as CycloneDX 1.6.

A scanner that reads files sees the version on disk and calls it vulnerable, or fixed while old code
still runs. These say what runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.impact_analysis import ImpactAnalysisState
from cyclonedx.model.vulnerability import BomTarget, Vulnerability, VulnerabilityAnalysis
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

OPENVEX = "https://openvex.dev/ns/v0.2.0"


class Status(StrEnum):
    """In OpenVEX's words."""

    FIXED = "fixed"
    AFFECTED = "affected"
    UNDER_INVESTIGATION = "under_investigation"


_ANALYSIS = {
    Status.FIXED: ImpactAnalysisState.RESOLVED,
    Status.AFFECTED: ImpactAnalysisState.EXPLOITABLE,
    Status.UNDER_INVESTIGATION: ImpactAnalysisState.IN_TRIAGE,
}


@dataclass(frozen=True)
class Finding:
    """One advisory in one package, as it runs here. ``note``: what it rests on, and what to do."""

    advisory: str
    package: str
    version: str
    architecture: str
    status: Status
    note: str

    @property
    def purl(self) -> str:
        return PackageURL(
            "deb", "debian", self.package, self.version, {"arch": self.architecture}
        ).to_string()


def openvex(findings: Sequence[Finding], author: str, now: datetime) -> dict[str, Any]:
    """The document. ``now``: when it was looked at. Role and the statements' timestamps are
    optional by the specification, and readers ask for them."""
    stamp = now.isoformat(timespec="seconds")
    statements = [_statement(finding, stamp) for finding in findings]
    digest = hashlib.sha256(json.dumps([author, stamp, statements]).encode()).hexdigest()
    return {
        "@context": OPENVEX,
        "@id": f"https://openvex.dev/docs/hotmend/{digest}",
        "author": author,
        "role": "the machine itself",
        "timestamp": stamp,
        "version": 1,
        "tooling": "hotmend",
        "statements": statements,
    }


def cyclonedx(findings: Sequence[Finding]) -> str:
    """The same as a CycloneDX document, JSON."""
    bom = Bom()
    components: dict[str, Component] = {}
    for finding in findings:
        if finding.purl not in components:
            component = Component(
                name=finding.package,
                version=finding.version,
                type=ComponentType.LIBRARY,
                purl=PackageURL.from_string(finding.purl),
                bom_ref=finding.purl,
            )
            components[finding.purl] = component
            bom.components.add(component)
        analysis = VulnerabilityAnalysis(state=_ANALYSIS[finding.status], detail=finding.note)
        bom.vulnerabilities.add(
            Vulnerability(
                id=finding.advisory, analysis=analysis, affects=[BomTarget(ref=finding.purl)]
            )
        )
    return JsonV1Dot6(bom).output_as_string(indent=1)


def _statement(finding: Finding, stamp: str) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "vulnerability": {"name": finding.advisory},
        "products": [{"@id": finding.purl}],
        "timestamp": stamp,
        "status": finding.status.value,
    }
    if finding.status is Status.AFFECTED:
        statement["action_statement"] = finding.note
    else:
        statement["status_notes"] = finding.note
    return statement
