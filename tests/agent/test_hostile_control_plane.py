"""Arbitrary replies to a real agent: no unsigned byte is loaded, and the policy is never exceeded.

Ten thousand replies with HOTMEND_FULL=1, some hundreds else. A machine gets one after the other,
some of them well-formed orders, at any hour; meanwhile files of the repository, which the control
plane serves, are changed, cut, exchanged and withheld.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from agent.hostile import BEGAN, NEWER, OLDER, ControlPlane, Mischief, Signed, Victim, publish
from hotmend.agent import allowed
from hotmend.model.agent_messages import RebootSetting, RunKind
from hotmend.release.repository import client

FULL = os.environ.get("HOTMEND_FULL") == "1"
REPLIES_TO_EACH = 20
MACHINES = 500 if FULL else 15
# Nothing is shown of disks here, and a journal flushes with every step.
_IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

_NAMES = st.sampled_from([OLDER, NEWER, "policy.json", "older.hotpatch", "none.release.json"])
_ODD = st.sampled_from(["", "..", "/etc/passwd", "a/../b", "\x00", "a\nb", "\ud800", "*"])
_TEXT = st.one_of(_NAMES, _ODD, st.text(max_size=12))
_NUMBERS = st.sampled_from([3600.0, 7200.0, 0, -1, 1e300, float("nan"), float("inf"), True])
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_SELECTION = st.fixed_dictionaries(
    {"classifications": st.lists(st.sampled_from(["Security", "Critical", "Other", "x"]))},
    optional={
        "include": st.lists(st.sampled_from(["*", "lib*", "*hotpatch", "bash"]), max_size=2),
        "exclude": st.lists(st.sampled_from(["bash", "lib2026-10*", ""]), max_size=1),
        "only_without_reboot": st.booleans(),
    },
)
_ORDER = st.fixed_dictionaries(
    {
        "id": st.one_of(st.uuids().map(str), _TEXT),
        "kind": st.sampled_from([*(kind.value for kind in RunKind), "install", "format"]),
    },
    optional={
        "selection": st.one_of(_SELECTION, _SELECTION, _JSON),
        "maximum_s": st.one_of(st.just(7200.0), _NUMBERS),
        "reboot": st.sampled_from([*(setting.value for setting in RebootSetting), "Sometimes"]),
        "until": st.sampled_from([*[None] * 6, 4e9, 1e300, 3600.0, float("nan"), "soon"]),
    },
)
_SOUND_ORDER = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "kind": st.sampled_from(["install", "install", "restart"]),
        "selection": st.just({"classifications": ["Security"]}),
        "maximum_s": st.just(7200.0),
        "reboot": st.sampled_from(["Never", "Always"]),
    }
)
_POLLED = st.fixed_dictionaries(
    {
        "orders": st.lists(st.one_of(_ORDER, _SOUND_ORDER), max_size=3),
        "releases": st.one_of(st.just([OLDER, NEWER]), st.lists(_TEXT, max_size=4)),
    },
)
_REPLY = st.one_of(
    _POLLED.map(json.dumps).map(str.encode),
    _POLLED.map(json.dumps).map(str.encode),
    _JSON.map(json.dumps).map(str.encode),
    st.binary(max_size=64),
)
_MISCHIEF = st.sampled_from(
    [
        *[lambda data: data] * 6,
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[: len(data) // 2],
        lambda data: data + b"\0",
        lambda data: data + bytes(1 << 20),
        lambda data: b"\x7fHOTPATCH" * 100,
        lambda data: b"{}",
        lambda data: b"",
        lambda data: None,
    ]
)
_STEPS = st.lists(
    st.tuples(_REPLY, _MISCHIEF, st.integers(0, 400)),
    min_size=REPLIES_TO_EACH,
    max_size=REPLIES_TO_EACH,
)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    return publish(tmp_path_factory.mktemp("publishers"))


@pytest.fixture(scope="module")
def plane(signed: Signed) -> Iterator[ControlPlane]:
    with ControlPlane(signed.folder).serving() as served:
        yield served


def _attack(signed: Signed, plane: ControlPlane, machines: int) -> tuple[list[str], list[str]]:
    """(what should not have happened, what was done) over all machines."""
    wrongs: list[str] = []
    done: list[str] = []

    number = int(os.environ.get("HOTMEND_SEED") or random.randrange(1 << 32))
    print(f"seed: HOTMEND_SEED={number}")

    @seed(number)
    @settings(
        max_examples=machines,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_STEPS)
    def machine(steps: list[tuple[bytes, Mischief, int]]) -> None:
        with tempfile.TemporaryDirectory(dir=_IN_MEMORY) as folder:
            victim = Victim(Path(folder), signed, plane)
            for reply, mischief, minutes in steps:
                plane.mischief = mischief
                victim.hear(reply, timedelta(minutes=minutes))
            plane.mischief = lambda data: data
            victim.close()
            wrongs.extend(victim.wrongs)
            done.extend(victim.done)

    machine()
    return wrongs, done


def test_no_reply_loads_unsigned_bytes_or_exceeds_the_policy(
    signed: Signed, plane: ControlPlane
) -> None:
    kinds: Counter[str] = Counter()
    # What is within the policy is done: the control, which is a matter of chance among few.
    for _ in range(8):
        wrongs, done = _attack(signed, plane, MACHINES)
        kinds.update(what.partition(" ")[0] for what in done)
        print(f"{MACHINES * REPLIES_TO_EACH} replies: {dict(kinds)}, {len(wrongs)} wrong")
        assert not wrongs, wrongs[:5]
        if kinds["apply"] and kinds["install"] and kinds["restart"]:
            break
    assert kinds["apply"] and kinds["install"] and kinds["restart"]


def test_without_the_policy_it_would_be_exceeded_in_every_way(
    signed: Signed, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowed, "to_act", lambda *_: None)
    monkeypatch.setattr(allowed, "to_install", lambda *_: None)
    missing = {"apply at ", "restart at ", "before its soak", "orders within a day"}
    for _ in range(8):  # each is a matter of chance; all of them come nearly always at once
        wrongs, _ = _attack(signed, plane, 15)
        missing = {what for what in missing if not any(what in wrong for wrong in wrongs)}
        if not missing:
            break
    assert not missing


def test_without_signatures_unsigned_bytes_would_be_loaded(
    signed: Signed, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any file of the right name is taken, here a hotpatch that no publisher signed."""
    from agent import hostile
    from hotmend.hotpatch.codec import encode
    from surgery import workshop

    mine = encode(workshop.hotpatch("answer", package="evil1"))
    honest = client.View.download

    def believing(view: client.View, name: str, folder: Path) -> client.Downloaded:
        fetched = honest(view, name, folder)
        if name.endswith(".hotpatch"):
            fetched.path.write_bytes(mine)
        return fetched

    monkeypatch.setattr(client.View, "download", believing)
    wrongs, _ = _attack(signed, plane, 5)
    assert any("unsigned bytes" in wrong for wrong in wrongs), hostile.FILES


def test_an_honest_control_plane_is_obeyed(
    signed: Signed, plane: ControlPlane, tmp_path: Path
) -> None:
    """The positive control, without chance: at 23:00, after the soak, both releases go in."""
    order = {
        "id": "order-1",
        "kind": "install",
        "selection": {"classifications": ["Security"]},
        "maximum_s": 7200.0,
    }
    victim = Victim(tmp_path, signed, plane)
    midnight = BEGAN.replace(hour=23, minute=0, second=0) + timedelta(days=2)
    reply = json.dumps({"orders": [order], "releases": [OLDER, NEWER]})
    victim.hear(reply.encode(), midnight - BEGAN)
    victim.close()
    assert not victim.wrongs
    assert sorted(victim.done) == [
        *("apply", "apply", "install bash", "install lib2026-10", "install lib2026-11")
    ]
