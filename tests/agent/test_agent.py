"""The agent on a machine where nothing is real: orders, interruptions, restarts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.fakes import DATA, FakeMachine
from hotmend.agent.agent import (
    AGAIN_WITHIN_S,
    ASSESS_EVERY_S,
    NEWS_WITHIN_S,
    SETTLED_S,
    next_assessment,
)
from hotmend.agent.errors import LinkError
from hotmend.model.agent_messages import (
    InstallationState,
    Order,
    RebootSetting,
    RebootStatus,
    Run,
    RunKind,
    RunStatus,
    Selection,
)
from hotmend.surgery.order import Stale

SECURITY = Selection(("Security",))


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def install(reboot: RebootSetting = RebootSetting.NEVER, maximum_s: float = 7200.0) -> Order:
    return Order("order-1", RunKind.INSTALL, SECURITY, maximum_s, reboot)


def ended(machine: FakeMachine, kind: RunKind) -> list[Run]:
    runs = [report.run for report in machine.link.heard if report.run is not None]
    return [run for run in runs if run.kind is kind and run.finished is not None]


def killed_at_its_first_hotpatch(machine: FakeMachine) -> None:
    """An agent that has heard of the orders that wait."""
    agent = machine.agent()
    agent.exchange(machine.link, 0)
    machine.surgery.apply = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore
    with pytest.raises(KeyboardInterrupt):
        agent.turn()
    del machine.surgery.apply


def test_it_assesses_by_itself_once_a_day(machine: FakeMachine) -> None:
    agent = machine.agent()
    machine.settle(agent)
    first = ended(machine, RunKind.ASSESS)
    assert len(first) == 1 and first[0].assessment is not None
    assert [p.article for p in first[0].assessment.patches] == ["nginx=2", "nginx=2+hotpatch"]
    assert first[0].assessment.patches[1].outdated == (10, 11)
    machine.now = next_assessment(machine.now, ASSESS_EVERY_S, 0.0) - 1
    machine.settle(agent)
    assert len(ended(machine, RunKind.ASSESS)) == 1
    machine.now += 1
    machine.settle(agent)
    assert len(ended(machine, RunKind.ASSESS)) == 2


def test_a_new_release_is_looked_at_soon_and_once(machine: FakeMachine) -> None:
    agent = machine.agent()
    machine.settle(agent)
    machine.link.releases += ("2026-12.json",)
    machine.settle(agent)
    machine.now += NEWS_WITHIN_S
    machine.settle(agent)
    assert machine.around.asked[1:] == [("r.json", "2026-12.json")]
    machine.now += NEWS_WITHIN_S
    machine.settle(agent)
    assert len(ended(machine, RunKind.ASSESS)) == 2, "no news any more"


def test_it_does_not_assess_before_it_knows_which_releases_there_are(
    machine: FakeMachine,
) -> None:
    agent = machine.agent()
    assert not agent.turn()
    agent.exchange(machine.link, 0)
    assert agent.turn()


def test_machines_that_began_together_do_not_assess_together() -> None:
    """And none later than a day after the last time."""
    began = [1_000_000.0 + number * 1e-6 for number in range(1000)]
    waits = [next_assessment(last, ASSESS_EVERY_S, 0.0) - last for last in began]
    assert max(waits) <= ASSESS_EVERY_S and min(waits) >= 0.95 * ASSESS_EVERY_S
    slots = [int(wait // 60) for wait in waits]
    assert max(slots.count(slot) for slot in set(slots)) <= 50
    assert next_assessment(began[0], 10.0, 0.0) == next_assessment(began[0], 10.0, 0.0), "once"


def test_an_installation_reaches_memory_and_disk_without_a_restart(machine: FakeMachine) -> None:
    machine.link.orders_waiting = [install()]
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.status is RunStatus.SUCCEEDED and run.installation is not None
    assert {p.article: p.state for p in run.installation.patches} == {
        "nginx=2+hotpatch": InstallationState.INSTALLED,
        "nginx=2": InstallationState.INSTALLED,
    }
    assert machine.surgery.applied == [10, 11] and machine.hands.installed == ["nginx=2"]
    assert run.installation.reboot is RebootStatus.NOT_NEEDED and machine.hands.restarts == 0
    assert machine.live == [DATA], "new processes get it, too"


def test_a_process_that_stays_old_is_a_failure_with_its_reason(machine: FakeMachine) -> None:
    machine.surgery.stubborn = {11}
    machine.link.orders_waiting = [install()]
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.status is RunStatus.FAILED and run.installation is not None
    live = next(p for p in run.installation.patches if p.article.endswith("+hotpatch"))
    assert live.state is InstallationState.FAILED
    assert live.because.startswith("1 of 2 processes still run the old code: bytes-differ")
    latest = ended(machine, RunKind.ASSESS)[-1].assessment
    assert latest is not None and latest.patches[-1].outdated == (11,)
    assert latest.patches[-1].patched == (10,)


def test_a_package_on_the_disk_names_who_runs_the_old_code(machine: FakeMachine) -> None:
    mine, other = ("/usr/sbin/nginx",), ("/usr/lib/other.so",)
    machine.surgery.old_files = (Stale(10, "nginx", mine), Stale(77, "cron", other))
    machine.link.orders_waiting = [install()]
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.status is RunStatus.SUCCEEDED and run.installation is not None
    disk = next(p for p in run.installation.patches if p.article == "nginx=2")
    assert disk.because == (
        "no service was restarted: nginx 10 run the old code until they are restarted"
    )
    assert [(p.pid, p.kind, p.because) for p in disk.processes] == [
        (10, "outdated", "restart-of-the-process")
    ]
    assert run.installation.reboot is RebootStatus.NOT_NEEDED
    latest = ended(machine, RunKind.ASSESS)[-1].assessment
    assert latest is not None and [p.pid for p in latest.stale] == [10, 77]


def test_old_code_in_process_1_asks_for_a_restart_of_the_machine(machine: FakeMachine) -> None:
    machine.surgery.old_files = (Stale(1, "systemd", ("/usr/sbin/nginx",)),)
    machine.link.orders_waiting = [install(RebootSetting.IF_REQUIRED)]
    machine.settle(machine.agent())
    assert machine.hands.restarts == 1
    (disk,) = [
        p
        for report in machine.link.heard
        if report.run is not None and report.run.installation is not None
        for p in report.run.installation.patches
        if p.article == "nginx=2"
    ]
    assert disk.because.endswith("systemd 1 run the old code until the machine restarts")


def test_an_order_is_carried_out_once_however_often_it_comes(machine: FakeMachine) -> None:
    machine.link.orders_waiting = [install(), install()]
    agent = machine.agent()
    for _ in range(3):
        machine.settle(agent)
    machine.settle(machine.agent())
    assert len(ended(machine, RunKind.INSTALL)) == 1
    assert machine.surgery.applied == [10, 11] and machine.hands.installed == ["nginx=2"]


def test_an_agent_that_was_killed_goes_on_where_it_was(machine: FakeMachine) -> None:
    """Killed after memory was changed, before anything was written down about it."""
    machine.link.orders_waiting = [install()]
    agent = machine.agent()
    agent.exchange(machine.link, 0)
    machine.hands.install = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore
    with pytest.raises(KeyboardInterrupt):
        agent.turn()
    assert machine.surgery.applied == [10, 11]
    del machine.hands.install
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.status is RunStatus.SUCCEEDED
    assert machine.surgery.applied == [10, 11], "not applied twice"


def test_the_time_of_an_order_runs_on_while_the_agent_is_down(machine: FakeMachine) -> None:
    machine.link.orders_waiting = [install(maximum_s=7200.0)]
    killed_at_its_first_hotpatch(machine)
    machine.now += 7200.0 - 600
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.installation is not None and run.installation.window_exceeded
    assert run.status is RunStatus.FAILED, "Azure's rule: cut short is failed"
    states = {p.article: p.state for p in run.installation.patches}
    assert states["nginx=2"] is InstallationState.PENDING and not machine.hands.installed
    assert states["nginx=2+hotpatch"] is InstallationState.INSTALLED, "moments were left for it"


@pytest.mark.parametrize("kind", RunKind)
def test_an_order_that_comes_after_its_window_is_void(machine: FakeMachine, kind: RunKind) -> None:
    late = replace(install(RebootSetting.ALWAYS), kind=kind, until=machine.now)
    machine.link.orders_waiting = [late]
    machine.settle(machine.agent())
    run = next(run for run in ended(machine, kind) if run.id == late.id)
    assert run.status is RunStatus.FAILED
    assert run.problem.startswith("order-expired: it had to begin 0 seconds ago")
    assert not (machine.surgery.applied or machine.hands.installed or machine.hands.restarts)


def test_an_order_is_void_if_its_turn_comes_after_its_window(machine: FakeMachine) -> None:
    """It was here in time, but the machine slept meanwhile."""
    machine.link.orders_waiting = [replace(install(), until=machine.now + 600)]
    agent = machine.agent()
    agent.exchange(machine.link, 0)
    machine.now += 600
    machine.settle(agent)
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.problem.startswith("order-expired: ") and not machine.surgery.applied


def test_what_began_in_time_goes_on_after_its_window(machine: FakeMachine) -> None:
    machine.link.orders_waiting = [replace(install(), until=machine.now + 600)]
    killed_at_its_first_hotpatch(machine)
    machine.now += 900
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.status is RunStatus.SUCCEEDED and machine.surgery.applied == [10, 11]


def test_reports_wait_for_a_control_plane_that_is_away(machine: FakeMachine) -> None:
    machine.link.orders_waiting = [install()]
    agent = machine.agent()
    agent.exchange(machine.link, 0)
    machine.link.silent = True
    while agent.turn():
        pass
    with pytest.raises(LinkError):
        agent.send(machine.link)
    assert machine.link.heard == []
    machine.link.silent = False
    again = machine.agent()
    while again.send(machine.link):
        pass
    assert len(ended(machine, RunKind.INSTALL)) == 1
    numbers = [report.number for report in machine.link.heard]
    assert numbers == sorted(set(numbers))
    assert machine.link.heard[0].facts is not None


@pytest.mark.parametrize(
    ("setting", "pending", "restarts"),
    [
        (RebootSetting.NEVER, True, 0),
        (RebootSetting.IF_REQUIRED, False, 0),
        (RebootSetting.IF_REQUIRED, True, 1),
        (RebootSetting.ALWAYS, False, 1),
    ],
)
def test_reboot_settings(
    machine: FakeMachine, setting: RebootSetting, pending: bool, restarts: int
) -> None:
    machine.around.pending = pending
    machine.link.orders_waiting = [install(setting)]
    machine.settle(machine.agent())
    assert machine.hands.restarts == restarts


def test_a_restart_is_finished_by_the_agent_that_comes_up(machine: FakeMachine) -> None:
    machine.link.orders_waiting = [install(RebootSetting.ALWAYS)]
    agent = machine.agent()
    agent.exchange(machine.link, 0)
    agent.turn()
    while agent.send(machine.link):
        pass
    assert ended(machine, RunKind.INSTALL) == [], "it is not over before the machine is back"
    machine.around.boot = "boot 2"
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.status is RunStatus.SUCCEEDED and run.installation is not None
    assert run.installation.reboot is RebootStatus.COMPLETED
    assert machine.hands.restarts == 1


def test_a_machine_that_restarted_is_looked_at_when_its_services_have_come_up(
    machine: FakeMachine,
) -> None:
    """What was patched in memory is old again: nothing is said of it that was true before."""
    machine.link.orders_waiting = [install()]
    machine.settle(machine.agent())
    before = ended(machine, RunKind.ASSESS)
    assert (
        before[-1].assessment is not None and "nginx=2+hotpatch" in before[-1].assessment.installed
    )
    machine.now += 3600
    machine.around.boot, machine.around.booted = "boot 2", machine.now
    machine.surgery.processes = {}
    agent = machine.agent()
    machine.now += SETTLED_S - 1
    machine.settle(agent)
    assert len(ended(machine, RunKind.ASSESS)) == len(before), "they may not run yet"
    machine.surgery.processes = {20: False}
    machine.now += 1
    for _ in range(2):
        machine.settle(agent)
    *_, last = after = ended(machine, RunKind.ASSESS)
    assert len(after) == len(before) + 1 and last.assessment is not None
    assert [p.outdated for p in last.assessment.patches if p.hotpatch] == [(20,)]


@pytest.mark.parametrize("allowed", [True, False])
def test_an_installation_whose_restart_did_not_come_is_seen_in_memory(
    machine: FakeMachine, allowed: bool
) -> None:
    """Refused by its owner, or asked for in vain: processes have the hotpatch all the same."""
    machine.hands.allowed = allowed
    agent = machine.agent()
    machine.settle(agent)
    machine.link.orders_waiting = [install(RebootSetting.ALWAYS)]
    machine.settle(agent)
    machine.settle(agent if not allowed else machine.agent())  # boot 1 is still there
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.status is RunStatus.FAILED
    last = ended(machine, RunKind.ASSESS)[-1].assessment
    assert last is not None and not any(patch.outdated for patch in last.patches)
    assert "nginx=2+hotpatch" in last.installed


def test_an_agent_that_starts_again_knows_what_is_in_force(machine: FakeMachine) -> None:
    machine.link.orders_waiting = [install()]
    machine.settle(machine.agent())
    machine.live = []
    machine.link.silent = True
    agent = machine.agent()
    while agent.turn():
        pass
    assert machine.live == [DATA], "without asking anybody"


def test_a_machine_whose_owner_allows_no_restart_says_so(machine: FakeMachine) -> None:
    machine.hands.allowed = False
    machine.link.orders_waiting = [Order("order-2", RunKind.RESTART)]
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.RESTART)
    assert run.status is RunStatus.FAILED and "does not allow" in run.problem


def test_what_cannot_be_fetched_is_said(machine: FakeMachine) -> None:
    machine.around.problems = ("r.json: the metadata cannot be trusted",)
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.ASSESS)
    assert run.status is RunStatus.COMPLETED_WITH_WARNINGS and "trusted" in run.problem
    assert run.assessment is not None and run.assessment.unread == ()
    machine.around.unread = frozenset({"r.json"})
    machine.link.heard.clear()
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.ASSESS)
    assert run.assessment is not None and run.assessment.unread == ("r.json",)


def test_who_could_not_read_all_releases_tries_again_within_the_hour(
    machine: FakeMachine,
) -> None:
    """Until then new processes go without what it could not read."""
    machine.link.orders_waiting = [install()]
    agent = machine.agent()
    machine.settle(agent)
    assert machine.live == [DATA]
    updates, machine.around.updates = machine.around.updates, ()
    machine.around.unread = frozenset({"r.json"})
    machine.now += ASSESS_EVERY_S
    machine.settle(agent)
    assert machine.live == []
    machine.around.updates, machine.around.unread = updates, frozenset()
    machine.now += AGAIN_WITHIN_S
    machine.settle(agent)
    assert machine.live == [DATA]
    before = len(ended(machine, RunKind.ASSESS))
    machine.now += AGAIN_WITHIN_S
    machine.settle(agent)
    assert len(ended(machine, RunKind.ASSESS)) == before, "it could, and has a day"


@pytest.mark.parametrize("whole", [True, False])
def test_who_cannot_read_all_of_a_release_has_not_got_it(machine: FakeMachine, whole: bool) -> None:
    """What can be read of it is installed all the same."""
    machine.around.unread = frozenset() if whole else frozenset({"11.json"})
    machine.around.problems = () if whole else ("11.json: the metadata cannot be trusted",)
    machine.link.orders_waiting = [replace(install(), release="11.json")]
    machine.settle(machine.agent())
    (run,) = ended(machine, RunKind.INSTALL)
    assert run.installation is not None
    assert InstallationState.INSTALLED in {patch.state for patch in run.installation.patches}
    assert run.status is (RunStatus.SUCCEEDED if whole else RunStatus.FAILED)
    assert whole or "trusted" in run.problem
    assert machine.around.asked[-2] == ("r.json", "11.json"), "named by the control plane or not"
