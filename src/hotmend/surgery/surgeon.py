"""The surgeon: the one process with the right to trace others, and without a network.

It is fed by a worker over one socket: an order, and with it the package in a sealed memory file.
The worker has the network and reads what strangers wrote, but may not trace; the surgeon reads
only the package, through the bounded reader, and refuses where order and package disagree.

Three processes, since a process under a seccomp filter may not suspend anybody else's:

    worker ── order, sealed package ──▶ surgeon (CAP_SYS_PTRACE; no sockets, no programs)
                                          └── numbers ──▶ lender (suspends seccomp for one call)
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO

from hotmend.hotpatch.codec import decode
from hotmend.hotpatch.errors import HotpatchError
from hotmend.hotpatch.format import MAX_FILE
from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.surgery import borrow, confinement, operations
from hotmend.surgery.confinement import Capability
from hotmend.surgery.errors import LedgerError, OrderError, ProcessError, SurgeryError
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.loan import Arguments, Lend, Who
from hotmend.surgery.order import (
    MOST_BYTES,
    Answer,
    Order,
    Summary,
    Verb,
    decode_answer,
    decode_order,
    encode_answer,
    encode_order,
)

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_LOAN = struct.Struct("<iQ?qIQQ7Q")
_LENT = struct.Struct("<iQi")
_SURGEON = (Capability.SYS_PTRACE, Capability.DAC_OVERRIDE, Capability.SYS_NICE)
_LENDER = (Capability.SYS_PTRACE, Capability.SYS_ADMIN, Capability.SYS_NICE)


class Surgeon:
    """A hired surgeon, as its worker sees it. Use it in a ``with``."""

    def __init__(self, connection: socket.socket, pid: int = 0) -> None:
        self._connection = connection
        self.pid = pid

    def __enter__(self) -> Surgeon:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        if self.pid:
            os.waitpid(self.pid, 0)

    def perform(self, order: Order, package: bytes = b"") -> Iterator[Answer]:
        """The outcomes as they come, and the summary. Raises OrderError."""
        with os.fdopen(_sealed(package), "rb") as file:
            socket.send_fds(self._connection, [encode_order(order)], [file.fileno()])
        while True:
            data = self._connection.recv(MOST_BYTES)
            if not data:
                raise OrderError("the surgeon has ended; hotmend verify shows how it stands")
            answer = decode_answer(data)
            yield answer
            if isinstance(answer, Summary):
                return


def hire(ledger: Ledger) -> Surgeon:
    """Start a surgeon of our own, and give up every right of our own for good."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ours.close()
            os.setsid()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            confine()
            serve(theirs, ledger)
            code = 0
        finally:
            os._exit(code)
    theirs.close()
    confinement.keep_only(())
    confinement.refuse(confinement.TRACING.values())
    return Surgeon(ours, pid)


def confine() -> None:
    """Become a surgeon: what it does not need is given up."""
    confinement.leave_network()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        with suppress(BaseException):
            ours.close()
            lend = borrow.lender()
            confinement.keep_only(_LENDER)
            _serve_loans(theirs, lend)
        os._exit(0)
    theirs.close()
    confinement.keep_only(_SURGEON)
    confinement.refuse([*confinement.NETWORK.values(), *confinement.PROGRAMS.values()])
    borrow.lend = _Loans(ours).call


def serve(connection: socket.socket, ledger: Ledger) -> None:
    """Perform orders until the worker is gone; the one that is being performed is ended."""
    while True:
        data, files, _, _ = socket.recv_fds(connection, MOST_BYTES, 1)
        if not data:
            return
        try:
            with _received(files) as file:
                order = decode_order(data)
                for answer in _performed(order, file.read(MAX_FILE + 1), ledger):
                    connection.send(encode_answer(answer))
        except (BrokenPipeError, ConnectionResetError):
            return
        except (SurgeryError, HotpatchError) as error:
            connection.send(encode_answer(str(error)))


def _performed(order: Order, data: bytes, ledger: Ledger) -> Iterator[Answer]:
    hotpatch = None
    if order.sha256:
        if hashlib.sha256(data).hexdigest() != order.sha256:
            raise OrderError("the package is not the one that the order names")
        hotpatch = decode(data)
        builds = {image.old_build_id.hex for image in hotpatch.images}
        if builds != set(order.builds):
            raise OrderError("order and package disagree on the builds that are to be patched")
    elif order.verb in (Verb.LOOK, Verb.APPLY):
        raise OrderError(f"there is no package to {order.verb.value}")
    with ledger.locked():
        if hotpatch is not None and ledger.keep(data) != order.sha256:
            raise LedgerError("the package was not kept as it is")
        match order.verb, hotpatch:
            case Verb.APPLY, Hotpatch():
                yield from operations.apply_to(order, hotpatch, ledger)
            case Verb.LOOK, Hotpatch():
                yield from operations.look_at(order, hotpatch, ledger)
            case Verb.VERIFY, _:
                yield from operations.verify_in(order, ledger)
            case Verb.STALE, _:
                yield from operations.stale_processes()
            case _:
                yield from operations.revert_in(order, ledger)


@contextmanager
def _received(files: Sequence[int]) -> Iterator[BinaryIO]:
    """The package's file, which nobody can change any more. Raises OrderError."""
    if len(files) != 1:
        raise OrderError("an order comes with one file, the package")
    with os.fdopen(files[0], "rb") as file:
        try:
            seals = fcntl.fcntl(file, fcntl.F_GET_SEALS)
        except OSError:
            seals = 0
        if seals & _SEALS != _SEALS:
            raise OrderError("the package's memory file is not sealed")
        file.seek(0)
        yield file


class _Loans:
    """Asks the lender; in place of ``nativewindow.call``."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def call(
        self,
        who: Who,
        tids: bytes,
        filtered: bool,
        patience_ns: int,
        site: int,
        home: int,
        stacks: bytes,
        number: int,
        arguments: Arguments,
    ) -> tuple[int, int, int]:
        """As ``pyborrow.call``."""
        numbers = filtered, patience_ns, len(tids), site, home, number
        loan = _LOAN.pack(*who, *numbers, *arguments)
        os.write(self._connection.fileno(), loan + tids + stacks)
        answer = os.read(self._connection.fileno(), _LENT.size)
        if len(answer) != _LENT.size:
            raise ProcessError("the lender has ended")
        ending, result, error = _LENT.unpack(answer)
        return ending, result, error


def _serve_loans(connection: socket.socket, lend: Lend) -> None:
    """The lender's life: numbers in, numbers out."""
    while request := os.read(connection.fileno(), MOST_BYTES):
        pid, start_time, *numbers = _LOAN.unpack_from(request)
        filtered, patience_ns, size, site, home, number, *rest = numbers
        tids, stacks = request[_LOAN.size :][:size], request[_LOAN.size + size :]
        a, b, c, d, e, f = rest
        answer = lend(
            (pid, start_time),
            *(tids, filtered, patience_ns, site, home, stacks, number, (a, b, c, d, e, f)),
        )
        os.write(connection.fileno(), _LENT.pack(*answer))


def _sealed(data: bytes) -> int:
    file = os.memfd_create("hotmend-package", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(file, "wb", closefd=False) as writer:
        writer.write(data)
    os.lseek(file, 0, os.SEEK_SET)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
    return file
