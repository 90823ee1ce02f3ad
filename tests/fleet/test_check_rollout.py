"""The script that proves a rollout from its audit log, on logs that keep or break each rule."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fleet.clocks import DAY, utc
from hotmend.fleet import admission as rules
from hotmend.fleet.admission import Candidate, Facts, Gate, Holding, admission
from hotmend.fleet.place import Place

SCRIPT = Path(__file__).parents[2] / "scripts" / "check-rollout"
NIGHT = utc("2026-11-25T22:00")
PAIRS = {"east": "west", "west": "east"}

Entry = tuple[str, dict[str, Any], float, str]


def window(opens: datetime, hours: float = 8) -> list[float]:
    return [opens.timestamp(), opens.timestamp() + hours * 3600]


def turn(machine: str, **changed: Any) -> dict[str, Any]:
    usual = {
        "machine": machine,
        "region": "alone",
        "zone": "",
        "group": f"of {machine}",
        "domain": 0,
        "size": 1,
        "phase": 0,
        "window": window(NIGHT),
        "time_zone": "UTC",
        "hours": "22:00-06:00",
    }
    return usual | changed


def started(*turns: dict[str, Any], at: datetime = NIGHT, rollout: str = "r") -> Entry:
    return "turns started", {"turns": list(turns)}, at.timestamp(), rollout


def ended(state: str, *machines: str, rollout: str = "r") -> Entry:
    turns = [{"machine": machine, "state": state} for machine in machines]
    return "turns ended", {"turns": turns}, NIGHT.timestamp(), rollout


def said(what: str, **details: Any) -> Entry:
    return what, details, NIGHT.timestamp(), "r"


def lines(entries: Iterable[Entry]) -> list[str]:
    """The log, chained as the control plane does it."""
    found, digest = [], "0" * 64
    for number, (what, details, at, rollout) in enumerate(entries, 1):
        row = [digest, number, at, "hotmend", what, rollout, details]
        content = json.dumps(row, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(content.encode()).hexdigest()
        names = ("number", "time", "who", "what", "subject", "details", "digest")
        found.append(json.dumps(dict(zip(names, [*row[1:], digest], strict=True))))
    return found


def check(log: Iterable[str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), "-", "--pair", "east=west", *words],
        input="\n".join(log),
        capture_output=True,
        text=True,
    )


def in_set(machine: str, domain: int = 0, size: int = 9) -> dict[str, Any]:
    return turn(machine, group="set", domain=domain, size=size)


TOMORROW = NIGHT + DAY
# Rule to a log that keeps it, and one that breaks it in its last entry.
LOGS = {
    "budget": (
        [
            started(in_set("a"), rollout="other"),
            ended("healthy", "a", rollout="other"),
            started(in_set("b")),
        ],
        [
            started(in_set("a"), rollout="other"),
            ended("failed", "a", rollout="other"),
            started(in_set("b")),
        ],
    ),
    "budget of ten": (
        [started(in_set("a", size=10), in_set("b", size=10))],
        [started(in_set("a", size=9), in_set("b", size=9))],
    ),
    "domain": (
        [started(in_set("a", 0, 20), in_set("b", 0, 20))],
        [started(in_set("a", 0, 20), in_set("b", 1, 20))],
    ),
    "zone": (
        [started(turn("a", zone="1"), turn("b"), turn("c", zone="1"))],
        [started(turn("a", zone="1")), started(turn("b", zone="2"))],
    ),
    "pair": (
        [
            started(turn("a", region="east")),
            ended("failed", "a"),
            started(turn("b", region="west")),
        ],
        [started(turn("a", region="east")), started(turn("b", region="west"))],
    ),
    "window": (
        [started(turn("a")), started(turn("b", time_zone="Europe/Berlin", hours="23:00-00:00"))],
        [started(turn("a", time_zone="Asia/Tokyo"))],
    ),
    "window closed": (
        [started(turn("a", window=window(NIGHT), hours="", time_zone=""))],
        [started(turn("a", window=window(NIGHT - DAY), hours="", time_zone=""))],
    ),
    "once": (
        [
            started(turn("a")),
            ended("failed", "a"),
            ended("waiting", "a"),
            started(turn("a", window=window(TOMORROW)), at=TOMORROW),
        ],
        [
            started(turn("a")),
            ended("failed", "a"),
            started(turn("a", window=window(TOMORROW)), at=TOMORROW),
        ],
    ),
    "once healthy": (
        [started(turn("a")), ended("healthy", "a"), started(turn("a"), rollout="other")],
        [
            started(turn("a")),
            ended("healthy", "a"),
            started(turn("a", window=window(TOMORROW)), at=TOMORROW),
        ],
    ),
    "once a window": (
        [started(turn("a")), ended("waiting", "a"), started(turn("a"), rollout="other")],
        [started(turn("a")), ended("waiting", "a"), started(turn("a"))],
    ),
    "once begun": (
        [started(turn("a")), ended("healthy", "a")],
        [started(turn("a")), ended("healthy", "b")],
    ),
    "budget after a machine was let go": (
        [
            started(in_set("a")),
            ended("failed", "a"),
            said("rollout exclude", machine="a"),
            started(in_set("b")),
        ],
        [
            started(in_set("a")),
            ended("failed", "a"),
            said("rollout exclude", machine="c"),
            started(in_set("b")),
        ],
    ),
    "budget after another rollout ended": (
        [
            started(in_set("a")),
            ended("failed", "a"),
            said("rollout cancel"),
            started(in_set("b"), rollout="other"),
        ],
        [started(in_set("a")), said("rollout cancel"), started(in_set("b"), rollout="other")],
    ),
    "phase": (
        [
            said("rollout promote"),
            said("rollout promote"),
            started(turn("a", phase=2), turn("b", phase=0)),
        ],
        [said("rollout promote"), started(turn("a", phase=2))],
    ),
    "stopped": (
        [said("rollout halt"), said("rollout resume"), started(turn("a"))],
        [started(turn("b")), said("rollout halt"), ended("healthy", "b"), started(turn("a"))],
    ),
}


@pytest.mark.parametrize("name", LOGS)
def test_a_log_that_keeps_the_rule_passes_and_one_that_breaks_it_does_not(name: str) -> None:
    kept, broken = LOGS[name]
    good = check(lines(kept))
    assert good.returncode == 0, good.stdout + good.stderr
    bad = check(lines(broken))
    assert bad.returncode == 1
    assert bad.stdout.startswith(f"line {len(broken)}: {name.split()[0]}: ")


def test_it_says_which_rules_it_looked_at_and_how_often() -> None:
    found = check(lines([started(turn("a")), ended("healthy", "a")]))
    assert found.stdout.splitlines() == [
        "chain    kept, looked at 2 times",
        "budget   kept, looked at 1 times",
        "domain   kept, looked at 1 times",
        "zone     kept, looked at 1 times",
        "pair     kept, looked at 1 times",
        "window   kept, looked at 2 times",
        "once     kept, looked at 4 times",
        "phase    kept, looked at 1 times",
        "stopped  kept, looked at 1 times",
        "1 healthy, 0 failures, 0 in flight",
    ]


def test_an_entry_that_was_changed_or_is_missing_is_noticed() -> None:
    log = lines([started(turn("a")), said("something else"), ended("healthy", "a")])
    assert check(log).returncode == 0
    changed = check([log[0], log[1].replace("something else", "something"), log[2]])
    assert changed.stdout == "line 2: chain: the entry is not as it was written\n"
    assert check([log[0], log[2]]).stdout.startswith("line 2: chain: ")


@pytest.mark.parametrize("log", [["not JSON"], ["[]"], ["{}"], [], lines([said("rollout pause")])])
def test_what_is_no_log_of_a_rollout_is_no_proof(log: list[str]) -> None:
    found = check(log)
    assert found.returncode == 2 and found.stderr and "Traceback" not in found.stderr


def test_a_file_that_is_not_there_and_a_pair_that_is_none() -> None:
    assert check([], "--pair", "east").returncode == 2
    found = subprocess.run([sys.executable, SCRIPT, "nowhere"], capture_output=True, text=True)
    assert found.returncode == 2 and "Traceback" not in found.stderr


# --- the log of a whole rollout, as admission decides it -----------------------------------------


def rollout() -> list[str]:
    """Sixty machines in pairs of regions, zones and sets, a step each night; every fifth fails
    once."""
    places = [
        Place(region, zone, f"loose:s/{region}/{zone}", 0)
        for region in ("east", "west", "alone")
        for zone in ("1", "2")
    ]
    places += [Place("alone", "", "set", domain) for domain in range(4)]
    where = {f"m{n:02}": places[n % len(places)] for n in range(60)}
    sizes = {p.group: sum(q.group == p.group for q in where.values()) for p in places}
    waiting, away, entries = set(where), set[str](), list[Entry]()
    failed_once = {m for n, m in enumerate(where) if n % 5 == 0}
    for step in range(500):
        if not waiting and not away:
            return lines(entries)
        holdings = [Holding(m, where[m], True, True) for m in sorted(away)]
        candidates = [Candidate(m, 0, where[m]) for m in waiting]
        found = admission(candidates, Facts(holdings, sizes, PAIRS, 4))
        turns = [
            turn(
                c.machine,
                region=c.place.region,
                zone=c.place.zone,
                group=c.place.group,
                domain=c.place.domain,
                size=sizes[c.place.group],
            )
            for c in found.start
        ]
        if turns:
            night = NIGHT + step * DAY
            entries.append(started(*(t | {"window": window(night)} for t in turns), at=night))
        # One ends while others stay away.
        away |= {c.machine for c in found.start}
        waiting -= away
        ends = min(away)
        away.remove(ends)
        if ends in failed_once:
            failed_once.remove(ends)
            entries += [ended("failed", ends), ended("waiting", ends)]
            waiting.add(ends)
        else:
            entries.append(ended("healthy", ends))
    raise AssertionError("the rollout does not end")


def test_the_log_of_a_rollout_that_admission_decided_passes() -> None:
    found = check(rollout())
    assert found.returncode == 0, found.stdout
    assert "60 healthy, 12 failures, 0 in flight" in found.stdout


@pytest.mark.parametrize(
    ("gate", "caught"),
    [(Gate.GROUP, {"budget", "domain"}), (Gate.PAIR, {"pair"}), (Gate.ZONE, {"zone"})],
)
def test_with_a_rule_of_admission_switched_off_it_does_not(
    gate: Gate, caught: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(rules.RULES, gate, lambda candidates, facts: candidates)
    found = check(rollout())
    assert found.returncode == 1 and found.stdout.split(": ")[1] in caught
