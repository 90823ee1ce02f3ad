"""The agent remembers how the control plane's audit log stood, and sees whether it only grows.

It keeps the newest checkpoint and tells its size with every poll. What comes back must be signed
with the key that the machine got when it enrolled, and must be proven to begin with what is
remembered (RFC 9162). What is not, is kept as evidence, and said with every poll from then on; the
agent goes on: what it installs is the publishers' to say, not the control plane's.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hotmend.agent.errors import AgentError
from hotmend.agent.folder import AgentFolder, write
from hotmend.agent.link import Link
from hotmend.model import merkle
from hotmend.model.agent_messages import Poll, Polled, Renew, Renewed, Report, Reported
from hotmend.model.audit_log import Note, key_hash, parsed


@dataclass(frozen=True)
class Witnessing:
    """A link whose other end is watched. ``key``: the log's, base64; "" where none was given."""

    link: Link
    folder: AgentFolder
    key: str
    say: Callable[[str], None]

    def orders(self, poll: Poll) -> Polled:
        known = _kept(self.folder)
        size = known.checkpoint.size if known is not None else 0
        polled = self.link.orders(replace(poll, log_size=size))
        if self.key and polled.checkpoint:
            wrong = problem(known, polled.checkpoint, polled.consistency, self.key)
            if wrong:
                write(self.folder.alarm, f"{wrong}\n\n{polled.checkpoint}".encode())
                self.say(f"ALARM: {wrong}; {self.folder.alarm} has the evidence")
            else:
                write(self.folder.checkpoint, polled.checkpoint.encode())
        return polled

    def report(self, report: Report) -> Reported:
        return self.link.report(report)

    def renew(self, renew: Renew) -> Renewed:
        return self.link.renew(renew)


def problem(known: Note | None, text: str, consistency: tuple[str, ...], key: str) -> str:
    """Why the checkpoint ``text`` does not follow on ``known``; "" when it does. Pure."""
    try:
        note = parsed(text)
        public = base64.b64decode(key, validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(
            note.signature, note.checkpoint.text().encode()
        )
        proof = [base64.b64decode(step, validate=True) for step in consistency]
    except (ValueError, binascii.Error) as error:
        return f"the audit log's checkpoint is not understood: {error}"
    except InvalidSignature:
        return "the audit log's checkpoint is not signed with the key of this machine's enrolment"
    new = note.checkpoint
    if note.key_hash != key_hash(new.origin, public):
        return "the audit log's checkpoint names another key"
    if known is None:
        return ""
    old = known.checkpoint
    if new.origin != old.origin:
        return f"the audit log was {old.origin} and is {new.origin}"
    if new.size < old.size:
        return f"the audit log had {old.size} entries and has {new.size}: it was cut"
    if not merkle.is_consistent(old.size, old.root, new.size, new.root, proof):
        return f"the first {old.size} entries of the audit log are not what they were"
    return ""


def _kept(folder: AgentFolder) -> Note | None:
    try:
        return parsed(folder.checkpoint.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise AgentError(f"{folder.checkpoint} cannot be used: {error}") from None
