"""hotmend's commands without the start of an interpreter: forked from a small process that has
imported them. Run as a script it is that process."""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from hotmend.cli import apply, main, revert, verify

LOADED = (apply, main, revert, verify)
"""What is imported only when it is called: here, before."""
_MOST = 1 << 16


class Commands:
    """``run`` is like ``hotmend``, with a state folder of its own."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def run(self, state: Path, *words: str, trace: tuple[str, ...] = ()) -> tuple[int, str]:
        """(exit status, everything said). ``trace``: under strace, with these words of its own,
        from the command's first step on; then it returns when all of its processes have ended."""
        output = os.memfd_create("output")
        waiting, go = os.pipe()
        request = json.dumps([str(state), *words]).encode()
        socket.send_fds(self._connection, [request], [output, waiting])
        os.close(waiting)
        with os.fdopen(go, "wb", buffering=0) as start, os.fdopen(output, "rb") as written:
            pid = int(self._connection.recv(_MOST))
            if trace:
                strace = ["timeout", "--signal=KILL", "60", "strace", *trace, "-p", str(pid)]
                with subprocess.Popen(strace, stderr=subprocess.PIPE, text=True) as tracer:
                    assert tracer.stderr is not None
                    assert "attached" in tracer.stderr.readline()
                    start.write(b"!")
                    tracer.stderr.read()  # it tells of every process until all have ended
            else:
                start.write(b"!")
            status = int(self._connection.recv(_MOST))
            written.seek(0)
            return os.waitstatus_to_exitcode(status), written.read().decode()


@contextmanager
def commands() -> Iterator[Commands]:
    """The process that commands are forked from, for a while."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = [sys.executable, __file__, str(theirs.fileno())]
    with ours, subprocess.Popen(words, pass_fds=[theirs.fileno()]):
        theirs.close()
        yield Commands(ours)
        ours.close()


def _serve(connection: socket.socket) -> None:
    gc.freeze()  # what is forked leaves these pages as they are
    while True:
        request, files, _, _ = socket.recv_fds(connection, _MOST, 2)
        if not request:
            return
        pid = os.fork()
        if pid == 0:
            connection.close()
            _become(*json.loads(request), output=files[0], waiting=files[1])
        for file in files:
            os.close(file)
        connection.send(b"%d" % pid)
        connection.send(b"%d" % os.waitpid(pid, 0)[1])


def _become(state: str, *words: str, output: int, waiting: int) -> NoReturn:
    """The command, as soon as somebody writes to what ``waiting`` reads."""
    code: object = 1
    try:
        os.environ["HOTMEND_STATE"] = state
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.argv = ["hotmend", *words]
        os.read(waiting, 1)
        main.main()
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
