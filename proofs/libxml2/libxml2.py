"""What the proofs of this folder share: the old libxml2 of HOTMEND_TREE in this very process.

The convention (what a proof is given and how it answers) is described in docs/proofs.md.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from ctypes import c_char_p, c_void_p
from pathlib import Path

FIXED, FLAWED, CANNOT_TELL = 0, 1, 2
SIGNATURES: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "xmlLoadACatalog": (c_void_p, (c_char_p,)),
    "xmlACatalogResolvePublic": (c_void_p, (c_void_p, c_char_p)),
    "xmlACatalogResolveURI": (c_void_p, (c_void_p, c_char_p)),
    "xmlFreeCatalog": (None, (c_void_p,)),
    "xmlRelaxNGNewParserCtxt": (c_void_p, (c_char_p,)),
    "xmlRelaxNGParse": (c_void_p, (c_void_p,)),
    "xmlRelaxNGFree": (None, (c_void_p,)),
    "xmlRelaxNGFreeParserCtxt": (None, (c_void_p,)),
    "xmlSetGenericErrorFunc": (None, (c_void_p, c_void_p)),
}


def load(tree: Path) -> ctypes.CDLL:
    """The library of the extracted package in this process, silent about its own errors."""
    found = next(tree.rglob("libxml2.so.2"), None)
    if found is None:
        raise FileNotFoundError(f"no libxml2.so.2 in {tree}")
    library = ctypes.CDLL(str(found.resolve()))
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.silence = ctypes.CFUNCTYPE(None)(lambda: None)  # lives as long as the library
    library.xmlSetGenericErrorFunc(None, ctypes.cast(library.silence, c_void_p))
    return library


def text_at(address: int | None) -> str | None:
    """A C string as text. The copy that the library made of it is left to the short process."""
    return None if address is None else ctypes.string_at(address).decode()


def in_child(action: Callable[[], str]) -> str:
    """What ``action`` answers in a forked copy of this process, or how that copy died.

    Fork copies the patched memory, so the child is as hotpatched as its parent, and a crash
    costs nothing. Endless recursion ends early: the child has a stack of 256 KiB.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_STACK, (256 << 10, 256 << 10))
        os.write(writer, action().encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = answers.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return answer if status == 0 else f"exit status {status}"


def main(look: Callable[[ctypes.CDLL, Path], tuple[bool, str]]) -> int:
    """Run one proof: ``look(library, folder)`` answers (flaw is there, what was seen).

    Whatever goes wrong is CANNOT_TELL: Python's own exit status for an exception means FLAWED.
    """
    try:
        library = load(Path(os.environ["HOTMEND_TREE"]))
        apply = shlex.split(os.environ.get("HOTMEND_APPLY", ""))
        if apply:
            subprocess.run([*apply, str(os.getpid())], stdout=sys.stderr, check=True)
        with tempfile.TemporaryDirectory() as folder:
            flawed, seen = look(library, Path(folder))
    except Exception as error:
        print(f"cannot tell: {error!r}")
        return CANNOT_TELL
    print(seen)
    return FLAWED if flawed else FIXED
