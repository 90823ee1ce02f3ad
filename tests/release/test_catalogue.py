"""The catalogue: what supersedes what, what needs a baseline, who left the track."""

from __future__ import annotations

import pytest

from hotmend.model.advisory import AdvisoryState, AdvisoryVerdict, Ground
from hotmend.release import catalogue_table, history
from hotmend.release.catalogue import (
    Content,
    Patch,
    RebootBehavior,
    State,
    from_history,
    offers,
    undo,
)
from hotmend.release.classification import Classification
from hotmend.release.debian_catalogue import from_draft
from hotmend.release.draft import Draft
from hotmend.release.errors import CatalogueError
from hotmend.release.parity import Update
from hotmend.release.release import Kind, Month

SERVER_2025 = from_history(history.of_product(history.shipped(), "Server 2025"))
SERVER_2022 = from_history(history.of_product(history.shipped(), "Server 2022"))
OCTOBER, OCTOBER_2, LEFT = "KB5066835", "KB5070893", "KB5070881"
NOVEMBER, NOVEMBER_2, DECEMBER, JANUARY = "KB5068966", "KB5072753", "KB5072014", "KB5073379"


def states(patches: list[Patch], *installed: str) -> dict[str, State]:
    return {offer.patch.article: offer.state for offer in offers(patches, installed)}


def up_to(article: str) -> list[Patch]:
    """What was known when ``article`` came out."""
    at = next(i for i, p in enumerate(SERVER_2025) if p.article == article)
    return SERVER_2025[: at + 1]


def test_a_hotpatch_is_for_machines_on_its_baseline() -> None:
    fresh = states(up_to(NOVEMBER))
    assert (fresh[OCTOBER_2], fresh[NOVEMBER]) == (State.AVAILABLE, State.BASELINE_FIRST)
    on = states(up_to(NOVEMBER), OCTOBER)
    assert (on[OCTOBER], on[NOVEMBER]) == (State.INSTALLED, State.AVAILABLE)
    assert states(up_to(NOVEMBER), OCTOBER_2)[NOVEMBER] is State.AVAILABLE


def test_one_update_of_the_same_build_takes_a_machine_off_the_track() -> None:
    off = offers(up_to(DECEMBER), (OCTOBER, LEFT))
    found = {offer.patch.article: offer for offer in off}
    assert found[DECEMBER].state is State.OFF_TRACK
    assert LEFT in found[DECEMBER].because
    back = states(SERVER_2025, OCTOBER, LEFT, JANUARY)
    assert back["KB5075942"] is State.SUPERSEDED, "a hotpatch again, of a baseline gone by"
    assert states(up_to("KB5075942"), OCTOBER, LEFT, JANUARY)["KB5075942"] is State.AVAILABLE


def test_the_newest_of_a_baseline_supersedes_the_earlier_ones() -> None:
    found = states(up_to(DECEMBER), OCTOBER)
    assert found[DECEMBER] is State.AVAILABLE
    assert {found[NOVEMBER], found[NOVEMBER_2]} == {State.SUPERSEDED}
    found = states(up_to(DECEMBER), OCTOBER, NOVEMBER)
    assert (found[NOVEMBER], found[DECEMBER]) == (State.INSTALLED, State.AVAILABLE)


def test_the_next_baseline_supersedes_them_all() -> None:
    found = states(up_to(JANUARY), OCTOBER, NOVEMBER)
    assert (found[JANUARY], found[DECEMBER]) == (State.AVAILABLE, State.SUPERSEDED)


def test_the_ordinary_update_of_a_month_is_listed_and_not_offered_to_a_machine_on_track() -> None:
    patches = up_to(DECEMBER)[:-1]
    ordinary = next(p for p in patches if "2025-11 Cumulative" in p.title)
    assert ordinary.reboot is RebootBehavior.ALWAYS
    assert states(patches, OCTOBER)[ordinary.article] is State.OTHER_CHANNEL
    assert states(patches, OCTOBER, LEFT)[ordinary.article] is State.AVAILABLE


def test_after_an_unplanned_baseline_hotpatches_are_for_that_one() -> None:
    september = next(p for p in SERVER_2022 if p.article == "KB5042880")
    assert september.needs == ("KB5041160",)


def test_a_baseline_that_nobody_has_written_down_is_not_guessed() -> None:
    first = SERVER_2025[0]
    assert first.kind is Kind.HOTPATCH
    assert states([first])[first.article] is State.BASELINE_FIRST
    august = next(p for p in SERVER_2025 if p.article == "KB5120228")
    assert august.needs == ("the 2026-07 baseline",)


@pytest.mark.parametrize("patches", [SERVER_2022, SERVER_2025])
def test_articles_are_named_once_and_only_hotpatches_need_no_restart(patches: list[Patch]) -> None:
    articles = [patch.article for patch in patches]
    assert len(set(articles)) == len(articles) > 20
    for patch in patches:
        assert (patch.kind is Kind.HOTPATCH) == (patch.reboot is RebootBehavior.NEVER)
        assert not set(patch.supersedes) - set(articles)


@pytest.mark.parametrize("content", [Content.DOTNET, Content.DRIVER, Content.FIRMWARE])
def test_what_is_never_hotpatched(content: Content) -> None:
    with pytest.raises(CatalogueError, match="never hotpatched"):
        Patch("KB1", "", Kind.HOTPATCH, Classification.SECURITY, RebootBehavior.NEVER, content)
    Patch("KB1", "", Kind.UPDATE, Classification.UPDATES, RebootBehavior.NEVER, content)


def test_a_draft_has_packages_and_hotpatches() -> None:
    live = AdvisoryVerdict("CVE-2026-1", AdvisoryState.LIVE, Ground.PROOF, "shown")
    gap = AdvisoryVerdict("CVE-2026-2", AdvisoryState.UNKNOWN, Ground.NOTHING, "nothing tells")
    hot = Update(
        *("nginx", "1", "2", Classification.SECURITY, ("CVE-2026-1", "CVE-2026-2"), True),
        *("nginx.hotpatch", (live, gap), (("new-tls", 1),)),
    )
    kernel = Update("linux-image-6.1.0-42-amd64", "1", "2", Classification.SECURITY, (), True)
    package, hotpatch, image = from_draft(Draft("t", Month(2026, 11), (hot, kernel)))
    assert (package.article, package.kind) == ("nginx=2", Kind.UPDATE)
    assert package.reboot is RebootBehavior.CAN_REQUEST and not package.live_revert
    assert hotpatch.advisories == ("CVE-2026-1",) and hotpatch.reboot is RebootBehavior.NEVER
    assert hotpatch.live_revert and undo(hotpatch) == "live: hotmend revert --package nginx --all"
    assert image.reboot is RebootBehavior.ALWAYS
    patches = [package, hotpatch]
    assert states(patches, "nginx=1")[hotpatch.article] is State.AVAILABLE
    assert states(patches, "nginx=2")[hotpatch.article] is State.AVAILABLE
    assert states(patches, "nginx=0")[hotpatch.article] is State.BASELINE_FIRST


ROW = (
    "KB9,Cumulative .NET,update,Updates,CanRequestReboot,.net,Moderate,CVE-1 CVE-2,KB8,,2026-11-10"
)


def test_a_table_of_ones_own() -> None:
    header = ",".join(catalogue_table.COLUMNS)
    (patch,) = catalogue_table.parse(f"{header}\n{ROW}\n", "mine.csv")
    assert patch.content is Content.DOTNET and patch.advisories == ("CVE-1", "CVE-2")
    assert patch.supersedes == ("KB8",) and patch.needs == ()
    for bad in (
        ROW.replace("update", "hotpatch", 1),
        ROW.replace("Updates", "Nice"),
        ROW[3:] + ",",
    ):
        with pytest.raises(CatalogueError, match=r"mine.csv, line 2"):
            catalogue_table.parse(f"{header}\n{bad}\n", "mine.csv")
    with pytest.raises(CatalogueError, match="lacks the columns"):
        catalogue_table.parse("article\nKB9\n", "mine.csv")
