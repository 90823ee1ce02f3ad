"""A month's parity as a report to publish: Markdown. Pure."""

from __future__ import annotations

from collections import Counter

from hotmend.release.parity import Proposal, Standing
from hotmend.release.release import Kind


def markdown(title: str, proposal: Proposal) -> str:
    """The proposal, its reasons, how many advisories stand how in each package, and every row."""
    kind = "a hotpatch" if proposal.kind is Kind.HOTPATCH else "an unplanned baseline"
    lines = [f"# {title}", "", f"Proposed: **{kind}**.", ""]
    lines += [f"* {_plain(reason)}" for reason in proposal.reasons]
    lines += ["", f"| package | {' | '.join(Standing)} |", "|---" * (len(Standing) + 1) + "|"]
    for package in dict.fromkeys(row.package for row in proposal.rows):
        counts = Counter(row.standing for row in proposal.rows if row.package == package)
        cells = " | ".join(str(counts[standing]) for standing in Standing)
        lines.append(f"| {package} | {cells} |")
    total = Counter(row.standing for row in proposal.rows)
    lines.append(f"| **all** | {' | '.join(f'**{total[s]}**' for s in Standing)} |")
    lines += ["", "| advisory | package | class | standing | because |", "|---" * 5 + "|"]
    lines += [
        f"| {row.advisory} | {row.package} | {row.classification} | {row.standing} "
        f"| {_plain(row.because)} |"
        for row in proposal.rows
    ]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Without what a table's cell or a list would stumble over."""
    return text.replace("|", "\\|").replace("\n", " ")
