"""A simulated machine by itself: the real rules of an agent, on things that are not there."""

from __future__ import annotations

from hotmend.fleet.condition import Word, condition
from hotmend.model.agent_messages import (
    InstallationState,
    Order,
    RebootSetting,
    RebootStatus,
    RunKind,
    RunStatus,
    Selection,
)
from hotmend.simulation.behaviour import Behaviour
from hotmend.simulation.machine import Condition, Simulated, made_up
from hotmend.simulation.population import Place

PLACE = Place("m", "westeurope", "1", "", "Europe/Amsterdam", ())
LIVE, PACKAGE = "simulated-lib=1-2+hotpatch", "simulated-lib=1-2"
SECURITY = Order("o", RunKind.INSTALL, Selection(("Security",)), 7200.0)


def machine(**rates: float) -> Simulated:
    return Simulated(PLACE, Behaviour(**rates), 1, made_up())


def missing(one: Simulated) -> set[str]:
    run = one.assess("a", 0.0)
    assert run.assessment is not None and run.finished == 0.0
    return {patch.article for patch in run.assessment.patches}


def test_it_says_what_it_is() -> None:
    facts = machine().facts(5.0)
    assert facts.kernel == "simulated" and facts.agent.endswith("simulated")
    assert facts.zone == "Europe/Amsterdam" and facts.booted == 5.0


def test_what_was_chosen_is_installed_and_nothing_else() -> None:
    one = machine()
    assert missing(one) == {LIVE, PACKAGE, "simulated-tool=1-2"}
    run = one.carry_out(SECURITY, 0.0, one.takes(SECURITY))
    assert run.status is RunStatus.SUCCEEDED and run.installation is not None
    states = {p.article: p.state for p in run.installation.patches}
    assert states.pop("simulated-tool=1-2") is InstallationState.NOT_SELECTED
    assert set(states.values()) == {InstallationState.INSTALLED}
    assert missing(one) == {"simulated-tool=1-2"}


def test_a_hotpatch_is_taken_out_again_and_the_package_stays() -> None:
    one = machine()
    one.carry_out(SECURITY, 0.0, 5.0)
    undo = Order("undo", RunKind.REVERT, Selection(include=(LIVE,)))
    run = one.carry_out(undo, 10.0, 10.0 + one.takes(undo))
    assert run.status is RunStatus.SUCCEEDED and run.kind is RunKind.REVERT
    assert missing(one) == {LIVE, "simulated-tool=1-2"}


def test_a_failure_is_said_and_nothing_is_installed() -> None:
    one = machine(fails=1.0)
    run = one.carry_out(SECURITY, 0.0, 5.0)
    assert run.status is RunStatus.FAILED and run.installation is not None
    failed = [p for p in run.installation.patches if p.state is InstallationState.FAILED]
    assert {p.article for p in failed} == {LIVE, PACKAGE}
    assert all("simulated" in p.because for p in failed)
    assert {LIVE, PACKAGE} <= missing(one)


def test_a_liar_says_that_all_went_well() -> None:
    one = machine(fails=1.0, lies=1.0)
    run = one.carry_out(SECURITY, 0.0, 5.0)
    assert run.status is RunStatus.SUCCEEDED and run.installation is not None
    assert {LIVE, PACKAGE} <= missing(one), "and yet"


def test_a_window_that_is_too_short_is_kept() -> None:
    short = Order("o", RunKind.INSTALL, Selection(("Security",)), 4.0)
    run = machine().carry_out(short, 0.0, 3.9)
    assert run.installation is not None and run.installation.window_exceeded
    assert run.status is RunStatus.FAILED


def test_a_restart_that_was_asked_for() -> None:
    order = Order("o", RunKind.INSTALL, Selection(("Security",)), 7200.0, RebootSetting.ALWAYS)
    one = machine()
    run = one.carry_out(order, 0.0, 5.0)
    assert run.installation is not None
    assert run.installation.reboot is RebootStatus.COMPLETED
    assert one.facts(9.0).booted == 5.0


def test_health_after_a_bad_hotpatch() -> None:
    one = machine(crashes=1.0, crash_after_s=60.0)
    well = Condition((), True)
    assert one.condition(1000.0) == well, "not patched yet"
    one.carry_out(SECURITY, 0.0, 100.0)
    assert one.condition(159.0) == well
    assert one.condition(160.0) == Condition(((LIVE, 160.0),), True)
    ill = machine(unhealthy=1.0)
    ill.carry_out(SECURITY, 0.0, 100.0)
    assert not ill.condition(100.0).healthy
    liar = machine(crashes=1.0, unhealthy=1.0, lies=1.0)
    liar.carry_out(SECURITY, 0.0, 100.0)
    assert liar.condition(1e9) == well


def test_health_is_said_in_the_words_of_agents_and_taken_as_theirs() -> None:
    well = machine()
    well.carry_out(SECURITY, 0.0, 100.0)
    assert condition(None, well.health(101.0)) == (Word.GOOD, "")
    assert well.health(101.0).intact == 2
    crashing = machine(crashes=1.0, crash_after_s=60.0)
    crashing.carry_out(SECURITY, 0.0, 100.0)
    before = crashing.health(159.0)
    assert condition(None, before)[0] is Word.GOOD
    word, because = condition(before, crashing.health(170.0))
    assert word is Word.BAD and "crashed" in because and "simulated" in because
    assert condition(crashing.health(170.0), crashing.health(180.0))[0] is Word.GOOD, "old news"
    ill = machine(unhealthy=1.0)
    ill.carry_out(SECURITY, 0.0, 100.0)
    assert condition(None, ill.health(101.0))[0] is Word.BAD
    liar = machine(crashes=1.0, unhealthy=1.0, lies=1.0)
    liar.carry_out(SECURITY, 0.0, 100.0)
    assert condition(None, liar.health(1e9))[0] is Word.GOOD
