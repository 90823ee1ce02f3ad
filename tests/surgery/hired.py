"""A real surgeon as an agent has one, without its confinement: that would be the tests', too."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from hotmend.agent.surgery_port import HiredSurgeon
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.surgeon import Surgeon, serve


@contextmanager
def served(ledger: Ledger) -> Iterator[tuple[Surgeon, socket.socket]]:
    """(its worker's side, the bare socket)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        serve(theirs, ledger)
        os._exit(0)
    theirs.close()
    with Surgeon(ours, pid) as surgeon:
        yield surgeon, ours


@contextmanager
def hired(ledger: Ledger) -> Iterator[HiredSurgeon]:
    """As the agent asks it."""
    with served(ledger) as (surgeon, _):
        yield HiredSurgeon(surgeon)
