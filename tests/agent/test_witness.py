"""An agent's memory of the audit log: what follows on it, and what does not."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hotmend.agent.folder import AgentFolder
from hotmend.agent.witness import Witnessing, problem
from hotmend.model import merkle
from hotmend.model.agent_messages import Poll, Polled, Renew, Renewed, Report, Reported
from hotmend.model.audit_log import Checkpoint, Note, key_hash

ORIGIN = "hotmend/t"


class Log:
    """A log of ``entries``, signed."""

    def __init__(self, entries: list[str], key: Ed25519PrivateKey) -> None:
        self.leaves = [merkle.leaf_hash(entry.encode()) for entry in entries]
        self._key = key

    def node(self, level: int, index: int) -> bytes:
        if level == 0:
            return self.leaves[index]
        return merkle.node_hash(
            self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1)
        )

    def note(self, size: int, origin: str = ORIGIN) -> Note:
        peaks: tuple[bytes, ...] = ()
        for number, leaf in enumerate(self.leaves[:size]):
            peaks, _ = merkle.appended(number, peaks, leaf)
        made = Checkpoint(origin, size, merkle.root_of(peaks))
        public = self._key.public_key().public_bytes_raw()
        return Note(made, key_hash(origin, public), self._key.sign(made.text().encode()))

    def proof(self, first: int, second: int) -> tuple[str, ...]:
        return tuple(
            base64.b64encode(step).decode() for step in merkle.consistency(self.node, first, second)
        )


KEY = Ed25519PrivateKey.generate()
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
LOG = Log([f"entry {n}" for n in range(20)], KEY)
FORKED = Log([f"entry {n}" if n != 3 else "rewritten" for n in range(20)], KEY)


def test_a_log_that_grew_is_believed() -> None:
    for first in range(1, 20):
        known = LOG.note(first)
        for second in range(first, 21):
            text = LOG.note(second).text()
            assert problem(known, text, LOG.proof(first, second), PUBLIC) == ""
    assert problem(None, LOG.note(5).text(), (), PUBLIC) == ""


@pytest.mark.parametrize(
    ("text", "proof", "because"),
    [
        (FORKED.note(20).text(), FORKED.proof(10, 20), "are not what they were"),
        (FORKED.note(10).text(), (), "are not what they were"),
        (LOG.note(20).text(), (), "are not what they were"),
        (LOG.note(20).text(), ("AAAA",), "are not what they were"),
        (LOG.note(9).text(), (), "it was cut"),
        (Log(["x"] * 20, Ed25519PrivateKey.generate()).note(20).text(), (), "not signed"),
        (LOG.note(20, "another").text(), LOG.proof(10, 20), "is another"),
        (replace(LOG.note(20), key_hash=b"zzzz").text(), LOG.proof(10, 20), "another key"),
        ("nonsense", (), "not understood"),
        (LOG.note(20).text(), ("!",), "not understood"),
    ],
)
def test_what_does_not_follow_is_said(text: str, proof: tuple[str, ...], because: str) -> None:
    assert because in problem(LOG.note(10), text, proof, PUBLIC)


class FakeLink:
    """Answers with ``polled``; notes what was asked."""

    def __init__(self, polled: Polled) -> None:
        self.polled = polled
        self.asked: list[int] = []

    def orders(self, poll: Poll) -> Polled:
        self.asked.append(poll.log_size)
        return self.polled

    def report(self, report: Report) -> Reported:
        return Reported(True)

    def renew(self, renew: Renew) -> Renewed:
        return Renewed("")


def test_the_newest_checkpoint_is_kept_and_an_alarm_keeps_the_old_one(tmp_path: Path) -> None:
    folder = AgentFolder(tmp_path)
    said: list[str] = []

    def poll(log: Log, size: int, first: int) -> FakeLink:
        proof = log.proof(first, size) if first else ()
        link = FakeLink(Polled(checkpoint=log.note(size).text(), consistency=proof))
        Witnessing(link, folder, PUBLIC, said.append).orders(Poll(0.0))
        return link

    assert poll(LOG, 5, 0).asked == [0]
    assert poll(LOG, 9, 5).asked == [5]
    assert not said and not folder.alarm.exists()
    poll(FORKED, 12, 9)
    assert len(said) == 1 and said[0].startswith("ALARM: the first 9 entries")
    assert FORKED.note(12).text() in folder.alarm.read_text()
    assert folder.checkpoint.read_text() == LOG.note(9).text()
    poll(FORKED, 12, 9)
    assert len(said) == 2, "it is said again"
    assert poll(LOG, 12, 9).asked == [9] and len(said) == 2
    assert folder.checkpoint.read_text() == LOG.note(12).text()
