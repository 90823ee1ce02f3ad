"""Coverage-guided fuzzing of everything that reads what strangers wrote.

    scripts/bench fuzz [TARGET ...] [--runs N]

Targets: package (.hotpatch files), header (what is inside, past the digest), elf, maps
(/proc/PID/maps), order, record, plan (images in a process's memory). Headers, orders and records
are JSON: real ones with spoilt values, too. Only the errors that each reader declares may come
out; anything else, a second's hang or 2 GiB of memory ends the run with the input that did it.
Needs atheris (pip install 'hotmend[fuzz]').
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import atheris

SPOIL = bytes(range(64))
TARGETS = {
    "package": 1_000_000,
    "header": 1_000_000,
    "maps": 1_000_000,
    "order": 1_000_000,
    "record": 1_000_000,
}
TARGETS |= {"elf": 100_000, "plan": 100_000}


def _seeds(name: str) -> list[bytes]:
    from tests.surgery import workshop

    from hotmend.hotpatch.codec import encode
    from hotmend.hotpatch.format import unpack

    match name:
        case "package":
            return [encode(workshop.hotpatch("answer", "other"))]
        case "header":
            return [unpack(encode(workshop.hotpatch("answer", "other")))[0], SPOIL]
        case "elf":
            return [workshop.library("old").read_bytes()]
        case "plan":
            return [workshop.library("old").read_bytes()[:4096]]
        case "maps":
            return [Path("/proc/self/maps").read_bytes()[:2000]]
        case "order":
            return [_order(), SPOIL]
        case _:
            return [_record(), SPOIL]


def _order() -> bytes:
    from hotmend.surgery import order

    return order.encode_order(order.Order(order.Verb.APPLY, (1, 2), "ab", ("cd",)))


def _record() -> bytes:
    """What is inside a real one, past the digest."""
    from tests.surgery import workshop
    from tests.surgery.rehearsal import process_with

    from hotmend.hotpatch.codec import encode
    from hotmend.surgery.apply import apply
    from hotmend.surgery.ledger import Ledger
    from hotmend.surgery.publishing import Terms

    patch, process = workshop.hotpatch("answer", "other"), process_with("old")
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        apply(process, patch, ledger.keep(encode(patch)), ledger, Terms())
    start = next(mapping.start for mapping in process.maps() if not mapping.inode)
    size = int.from_bytes(process.read(start + 40, 4), "little")
    return process.read(start + 44, size)


def _spoilt(genuine: bytes, data: bytes) -> bytes:
    """``data`` where it looks like JSON; else a real one with up to four values that it chose."""
    if data[:1] == b"{":
        return data
    content, words = json.loads(genuine), atheris.FuzzedDataProvider(data)
    for _ in range(words.ConsumeIntInRange(0, 4)):
        _spoil(content, words)
    return json.dumps(content).encode()


def _spoil(content: Any, words: atheris.FuzzedDataProvider) -> None:
    """Put something else in the place of one value, at any depth."""
    while content:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        key = keys[words.ConsumeIntInRange(0, len(keys) - 1)]
        if isinstance(content[key], dict | list) and words.ConsumeBool():
            content = content[key]
            continue
        others = (None, True, 0.5, [], {}, words.ConsumeInt(16), words.ConsumeUnicode(24))
        content[key] = others[words.ConsumeIntInRange(0, len(others) - 1)]
        return


def _target(name: str) -> Callable[[bytes], None]:
    from tests.surgery import workshop
    from tests.surgery.rehearsal import process_with

    from hotmend.binary.elf import load
    from hotmend.binary.errors import BinaryError
    from hotmend.hotpatch import codec
    from hotmend.hotpatch.codec import decode, encode
    from hotmend.hotpatch.errors import HotpatchError
    from hotmend.hotpatch.format import unpack
    from hotmend.surgery import order, record
    from hotmend.surgery.errors import SurgeryError
    from hotmend.surgery.fake import FakeProcess
    from hotmend.surgery.module import find_modules
    from hotmend.surgery.plan import plan
    from hotmend.surgery.process import PAGE
    from hotmend.surgery.procfs import parse_mapping
    from hotmend.surgery.standing import in_place
    from hotmend.surgery.verify import verify

    patch = workshop.hotpatch("answer")

    def package(data: bytes) -> None:
        with suppress(HotpatchError):
            decode(data)

    a_header, payload = unpack(encode(patch))

    def header(data: bytes) -> None:
        codec.container.unpack = lambda _: (_spoilt(a_header, data), payload)
        with suppress(HotpatchError):
            codec.decode(b"")

    def elf(data: bytes) -> None:
        with suppress(BinaryError):
            load(data, "fuzzed")

    def planning(data: bytes) -> None:
        process = FakeProcess()
        padded = data.ljust(-(-max(len(data), 1) // PAGE) * PAGE, b"\0")
        process.place(0x7F0000000000, padded, "r-xp", 0, "/lib/fuzzed.so")
        with suppress(SurgeryError):
            maps = process.maps()
            plan(patch, find_modules(maps, process.read), maps, process.read)

    def maps(data: bytes) -> None:
        for line in data.decode(errors="replace").splitlines():
            with suppress(SurgeryError):
                parse_mapping(line)

    an_order = _order()

    def orders(data: bytes) -> None:
        data = _spoilt(an_order, data)
        with suppress(SurgeryError):
            order.decode_order(data)
        with suppress(SurgeryError):
            order.decode_answer(data)

    a_record = _record()
    library = [(m.start, bytes(memory)) for m, memory in process_with("old")._memory.items()]

    def records(data: bytes) -> None:
        process = FakeProcess()
        for start, memory in library:
            process.place(start, memory, path="/usr/lib/libvictim.so.1")
        data = _spoilt(a_record, data)
        whole = b"HOTMEND1" + hashlib.sha256(data).digest() + len(data).to_bytes(4, "little") + data
        process.place(0x7F0000000000, whole.ljust(-(-len(whole) // PAGE) * PAGE, b"\0"))
        for entry in record.found(process):
            in_place(process, entry)
            with suppress(SurgeryError):
                verify(process, entry)

    table = {"package": package, "header": header, "elf": elf, "plan": planning, "maps": maps}
    return (table | {"order": orders, "record": records})[name]


def fuzz(name: str, words: list[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    with atheris.instrument_imports(include=["hotmend"]):
        target = _target(name)
    atheris.Setup(["fuzz", *words], target)
    atheris.Fuzz()


def main() -> None:
    words = argparse.ArgumentParser(description="coverage-guided fuzzing")
    words.add_argument("targets", nargs="*", default=list(TARGETS))
    words.add_argument("--runs", type=int, default=0, help="instead of each target's own number")
    given = words.parse_args()
    print("| target | runs | seconds | branches seen | outcome |")
    print("|---|---|---|---|---|")
    failed = False
    for name in given.targets:
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "corpus"
            corpus.mkdir()
            for number, seed in enumerate(_seeds(name)):
                (corpus / str(number)).write_bytes(seed)
            runs = given.runs or TARGETS[name]
            limits = ["-timeout=1", "-rss_limit_mb=2048", "-max_len=65536"]
            limits.append(f"-artifact_prefix={folder}/")
            source = (
                f"import fuzz; fuzz.fuzz({name!r}, {[f'-runs={runs}', *limits, str(corpus)]!r})"
            )
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-c", source], capture_output=True, text=True, errors="replace"
            )
            seconds = time.monotonic() - began
        seen = re.findall(r"cov: (\d+)", done.stderr)
        fine = done.returncode == 0
        failed |= not fine
        outcome = "only declared errors" if fine else "FAILED"
        print(f"| {name} | {runs:,} | {seconds:.0f} | {seen[-1] if seen else '?'} | {outcome} |")
        if not fine:
            print(done.stdout[-3000:], done.stderr[-1000:])
    sys.exit(failed)


if __name__ == "__main__":
    main()
