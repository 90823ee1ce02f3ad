"""What the machines of a rollout are told: what its release brings, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from hotmend.agent import selection
from hotmend.model.advisory import AdvisoryState, AdvisoryVerdict, Ground
from hotmend.model.agent_messages import AvailablePatch, Selection
from hotmend.release.classification import Classification
from hotmend.release.draft import Draft
from hotmend.release.parity import Update
from hotmend.release.release import Month
from hotmend.server.rollouts.releases import Published

LIVE = AdvisoryVerdict("CVE-1", AdvisoryState.LIVE, Ground.PROOF, "shown")
LEFT = replace(LIVE, state=AdvisoryState.NEEDS_RESTART)
SECURITY = Update(
    *("nginx", "1", "2~deb12u1", Classification.SECURITY, ("CVE-1",), True),
    *("nginx.hotpatch", (LIVE,)),
)
OTHER = Update("tzdata", "1", "2", Classification.UPDATES, (), False)


def published(*updates: Update) -> Published:
    return Published("2026-11", Draft("2026-11", Month.parse("2026-11"), updates))


def patch(article: str, reboot: str = "NeverReboots") -> AvailablePatch:
    return AvailablePatch(
        article, article, "2", "Security", reboot, hotpatch=article.endswith("+hotpatch")
    )


def chosen(patches: Sequence[AvailablePatch], wanted: Selection) -> set[str]:
    return {
        one.article
        for one, state, _ in selection.select(patches, wanted)
        if selection.chosen(state)
    }


# What a machine has to choose from: of this release, of one published since, and apt's own.
OWN = {"nginx=2~deb12u1", "nginx=2~deb12u1+hotpatch"}
OTHERS = {"nginx=3", "nginx=3+hotpatch", "openssl=5", "tzdata=2"}


def test_an_order_installs_what_its_release_brings_and_nothing_else() -> None:
    patches = [patch(article) for article in sorted(OWN | OTHERS)]
    order = published(SECURITY, OTHER).order
    assert chosen(patches, order.selection) == OWN and order.release == "2026-11"
    by_class = replace(order.selection, classifications=("Security",))
    assert chosen(patches, by_class) == OWN | OTHERS, "which is what it must not ask for"


@pytest.mark.parametrize(("verdict", "live"), [(LIVE, True), (LEFT, False)])
def test_a_hotpatch_month_restarts_nothing_and_a_baseline_may(
    verdict: AdvisoryVerdict, live: bool
) -> None:
    """An unplanned baseline, in place of the month's hotpatch, is one by what it carries."""
    order = published(replace(SECURITY, verdicts=(verdict,))).order
    assert order.selection.only_without_reboot is live
    restarts = patch("nginx=2~deb12u1", "CanRequestReboot")
    assert chosen([restarts], order.selection) == (set() if live else {restarts.article})
    first = replace(restarts, baseline_first="nginx 0 is installed")
    assert chosen([first], order.selection) == {first.article}, "there it has to"
    others = replace(patch("nginx=3", "CanRequestReboot"), baseline_first="nginx 0 is installed")
    assert not chosen([others], order.selection)


def test_what_waits_for_a_person_asks_for_no_rollout() -> None:
    assert not published(OTHER).wanted
    assert published(OTHER, SECURITY).wanted
