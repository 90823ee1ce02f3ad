"""``hotmend symbols PID``: names and unwind tables of what is hotpatched, for gdb and perf."""

from __future__ import annotations

from pathlib import Path

import click

from hotmend.cli.errors import CommandError
from hotmend.cli.output import write_atomically
from hotmend.hotpatch.codec import decode
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.settle import remembered
from hotmend.surgery.standing import payload_mapped
from hotmend.surgery.symbols import LivePayload, perf_map, symbol_file


@click.command("symbols")
@click.argument("pid", type=click.IntRange(min=1))
@click.option(
    "-o",
    "folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=Path(),
    show_default=True,
    help="Where the files go.",
)
def command(pid: int, folder: Path) -> None:
    """Write a symbol file for each hotpatched image of process PID, and a map for perf."""
    ledger = Ledger()
    with LinuxProcess(pid, writable=False) as process:
        maps = process.maps()
        payloads = [
            LivePayload(patched, image.payload)
            for entry in remembered(process, ledger)
            for image in entry.images
            if payload_mapped(image, maps)
            for patched in decode(ledger.package(entry.sha256)).images
            if patched.old_build_id.hex == image.old_build_id
        ]
        if not payloads:
            raise CommandError(f"nothing in process {pid} is hotpatched → hotmend ps")
        for payload in payloads:
            path = folder / f"{pid}-{payload.image.name}.symbols"
            write_atomically(path, symbol_file(process, payload))
            click.echo(f"gdb -p {pid} -ex 'add-symbol-file {path}'")
    path = folder / f"perf-{pid}.map"
    write_atomically(path, perf_map(payloads).encode())
    click.echo(f"{path}: perf reads it as /tmp/perf-{pid}.map")
