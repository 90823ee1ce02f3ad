"""A machine that is not on the baseline of a hotpatch is brought there first, with the restart that
its owner allows; one that is, is not restarted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.fakes import FakeMachine, available
from hotmend.model.agent_messages import (
    Assessment,
    AvailablePatch,
    Installation,
    InstallationState,
    Order,
    RebootSetting,
    RebootStatus,
    RunKind,
    Selection,
)
from hotmend.surgery.order import Stale

# What a release's own order says in a month with a hotpatch.
RELEASE = Selection(
    include=("nginx=2", "nginx=2+hotpatch"), only_without_reboot=True, baseline_first=True
)
BUILDS = {"old_build_id": SimpleNamespace(hex="b1"), "new_build_id": SimpleNamespace(hex="b2")}
IMAGE = SimpleNamespace(name="nginx", **BUILDS)
IMAGES = SimpleNamespace(images=(IMAGE,), left=())
PROGRAM = ("/usr/sbin/nginx",)
OLDER = Stale(12, "nginx", PROGRAM, ("b0",))
DISK, LIVE = "nginx=2", "nginx=2+hotpatch"


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    """The hotpatch is for nginx 1, which processes 10 and 11 run."""
    made = FakeMachine(tmp_path)
    made.around.updates = (replace(available(), hotpatch=IMAGES),)
    return made


def off_the_baseline(machine: FakeMachine, version: str) -> None:
    """By its disk and by its processes, which the hotpatch does not know."""
    machine.packages.versions = {"nginx": version}
    machine.surgery.processes = {}
    machine.surgery.old_files = (OLDER,)


def carried_out(machine: FakeMachine, selection: Selection, reboot: RebootSetting) -> Installation:
    machine.link.orders_waiting = [Order("order-1", RunKind.INSTALL, selection, 7200.0, reboot)]
    machine.settle(machine.agent())
    runs = [report.run for report in machine.link.heard if report.run is not None]
    done = [run.installation for run in runs if run.installation is not None]
    return done[-1]


def assessed(machine: FakeMachine) -> Assessment:
    machine.settle(machine.agent())
    runs = [report.run for report in machine.link.heard if report.run is not None]
    found = [run.assessment for run in runs if run.assessment is not None]
    return found[-1]


def patches(assessment: Assessment) -> dict[str, AvailablePatch]:
    return {patch.article: patch for patch in assessment.patches}


def states(done: Installation) -> dict[str, InstallationState]:
    return {patch.article: patch.state for patch in done.patches}


@pytest.mark.parametrize("version", ["0", "1.5"])
def test_it_gets_the_package_and_restarts_as_its_owner_set_it(
    machine: FakeMachine, version: str
) -> None:
    """0: it missed the baseline; 1.5: an ordinary update took it off the track."""
    off_the_baseline(machine, version)
    done = carried_out(machine, RELEASE, RebootSetting.IF_REQUIRED)
    assert machine.hands.installed == [DISK] and machine.hands.restarts == 1
    assert done.reboot is RebootStatus.STARTED
    (disk,) = done.patches
    assert disk.because.startswith(
        f"nginx {version} is installed, and the hotpatch is for nginx 1; no service was restarted"
    )


def test_without_leave_to_restart_it_says_what_is_left_to_do(machine: FakeMachine) -> None:
    off_the_baseline(machine, "0")
    done = carried_out(machine, RELEASE, RebootSetting.NEVER)
    assert machine.hands.installed == [DISK] and machine.hands.restarts == 0
    assert done.reboot is RebootStatus.REQUIRED


def test_a_user_who_wants_no_restart_gets_none(machine: FakeMachine) -> None:
    """Azure's word, without ours: nothing that may ask for one is installed."""
    off_the_baseline(machine, "0")
    wanted = replace(RELEASE, baseline_first=False)
    done = carried_out(machine, wanted, RebootSetting.IF_REQUIRED)
    assert states(done) == {DISK: InstallationState.EXCLUDED}
    assert machine.hands.installed == [] and machine.hands.restarts == 0


def test_a_machine_on_the_baseline_is_hotpatched_and_not_restarted(machine: FakeMachine) -> None:
    done = carried_out(machine, RELEASE, RebootSetting.IF_REQUIRED)
    assert states(done) == {LIVE: InstallationState.INSTALLED, DISK: InstallationState.EXCLUDED}
    assert machine.surgery.applied == [10, 11]
    assert machine.hands.installed == [] and machine.hands.restarts == 0


def test_a_process_that_was_not_restarted_for_the_baseline_is_found(machine: FakeMachine) -> None:
    """The disk is on the baseline; one process runs what was there before it."""
    machine.surgery.old_files = (OLDER,)
    done = carried_out(machine, RELEASE, RebootSetting.IF_REQUIRED)
    assert states(done) == dict.fromkeys((LIVE, DISK), InstallationState.INSTALLED)
    assert machine.surgery.applied == [10, 11] and machine.hands.restarts == 1
    disk = next(patch for patch in done.patches if patch.article == DISK)
    assert disk.because.startswith("nginx 12 run another build than nginx 1, for which")


def test_a_new_package_on_the_disk_is_not_enough_for_an_older_process(
    machine: FakeMachine,
) -> None:
    """The disk was upgraded by somebody, past the baseline; who runs what is as before."""
    machine.packages.versions = {"nginx": "2"}
    machine.surgery.old_files = (OLDER, Stale(10, "nginx", PROGRAM, ("b1",)))
    found = assessed(machine)
    assert patches(found)[DISK].outdated == (12,), "10 runs what the hotpatch is for"
    assert DISK not in found.installed
    done = carried_out(machine, RELEASE, RebootSetting.IF_REQUIRED)
    assert states(done)[DISK] is InstallationState.INSTALLED and machine.hands.restarts == 1


@pytest.mark.parametrize(
    "stale",
    [
        Stale(10, "nginx", PROGRAM, ("b1",)),
        # Its master forked it between the one look and the other.
        Stale(13, "nginx", PROGRAM, ("b1",)),
        Stale(14, "nginx", PROGRAM, ("b2",)),
        Stale(15, "nginx", PROGRAM, ("",)),
        Stale(16, "cron", ("/usr/sbin/cron",), ("b0",)),
    ],
)
def test_with_the_new_package_and_no_older_process_it_is_installed(
    machine: FakeMachine, stale: Stale
) -> None:
    machine.packages.versions = {"nginx": "2"}
    machine.surgery.old_files = (stale,)
    found = assessed(machine)
    assert found.installed == (DISK,) and list(patches(found)) == [LIVE]


@pytest.mark.parametrize(("version", "missing"), [("0", True), ("3", False)])
def test_what_is_behind_misses_it_and_what_is_ahead_does_not(
    machine: FakeMachine, version: str, missing: bool
) -> None:
    machine.packages.versions = {"nginx": version}
    machine.surgery.processes = {}
    assert (DISK in patches(assessed(machine))) is missing


def test_what_is_not_installed_misses_nothing(machine: FakeMachine) -> None:
    machine.packages.versions = {}
    machine.surgery.processes = {}
    assert not assessed(machine).patches
