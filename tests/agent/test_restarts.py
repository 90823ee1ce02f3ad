"""Who needs a restart, and of what."""

from __future__ import annotations

from hotmend.agent.restarts import judged, of_files, sentence
from hotmend.model.agent_messages import Needs
from hotmend.surgery.order import Stale

LIB, OTHER = "/usr/lib/x86_64-linux-gnu/libxml2.so.2.9.14", "/usr/lib/libz.so.1"


def test_each_process_needs_what_ends_its_old_code() -> None:
    found = judged(
        [
            Stale(1, "systemd", (LIB,)),
            Stale(9, "dbus-daemon", (LIB,)),
            Stale(20, "nginx", (LIB,)),
            Stale(21, "nginx", (LIB,)),
            Stale(22, "nginx", (LIB, OTHER)),
        ],
        {21: {LIB}, 22: {LIB}},
    )
    assert [(one.pid, one.needs) for one in found] == [
        (1, Needs.REBOOT),
        (9, Needs.REBOOT),
        (20, Needs.RESTART),
        (21, Needs.NOTHING),
        (22, Needs.RESTART),
    ], "a hotpatch replaces the code of its own files only"


def test_of_a_package_only_those_that_map_its_files_count() -> None:
    found = judged([Stale(20, "a", (LIB,)), Stale(21, "b", (OTHER,))], {})
    assert [one.pid for one in of_files(found, {OTHER})] == [21]
    assert of_files(judged([Stale(20, "a", (LIB,))], {20: {LIB}}), {LIB}) == []


def test_sentences() -> None:
    assert sentence([]) == "no process runs the old code any more"
    many = judged([Stale(pid, "nginx", (LIB,)) for pid in range(20, 27)], {})
    assert sentence([*many, *judged([Stale(1, "init", (LIB,))], {})]) == (
        "no service was restarted: nginx 20, nginx 21, nginx 22, nginx 23, nginx 24 and 2 more "
        "run the old code until they are restarted; init 1 run the old code until the machine "
        "restarts"
    )
