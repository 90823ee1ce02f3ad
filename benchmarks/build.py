"""Every real pair, built: what is carried, what is refused, what each CVE gets.

    scripts/bench build [PACKAGE ...]

Each pair is built by the command line, as a publisher would, with every proof under proofs/ and
with the source packages where they are at hand. Seconds are of the whole command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hotmend import pairs

ROOT = Path(__file__).parents[1]
SOURCES = {
    "libxml2": ("libxml2_2.9.14+dfsg-1.3~deb12u4.dsc", "libxml2_2.9.14+dfsg-1.3~deb12u6.dsc"),
    "libcurl4": ("curl_7.88.1-10+deb12u5.dsc", "curl_7.88.1-10+deb12u15.dsc"),
}


def options(name: str) -> list[str]:
    """--proof and --source, as far as there are any for the package."""
    found = []
    for proof in sorted((ROOT / "proofs" / name).glob("CVE-*")):
        found += ["--proof", f"{proof.stem}={proof}"]
    folder = os.environ.get("HOTMEND_PAIRS")
    if folder and name in SOURCES:
        trees = [Path(folder) / "source" / file for file in SOURCES[name]]
        if all(tree.exists() for tree in trees):
            found += ["--source", *map(str, trees)]
    return found


def build(old: Path, new: Path, name: str) -> tuple[dict[str, Any], float]:
    """(the command's JSON, seconds)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hotmend.cli.main", "build", str(old), str(new)]
        command += ["-o", f"{folder}/out.hotpatch", "--json", *options(name)]
        began = time.monotonic()
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"HOTMEND_STATE": f"{folder}/state"},
        )
        seconds = time.monotonic() - began
    if not run.stdout:
        raise SystemExit(f"{old.name}: {run.stderr.strip()}")
    return json.loads(run.stdout), seconds


def main() -> None:
    wanted = set(sys.argv[1:])
    print(
        "| package, image | functions | matched | identical | line numbers | changed | carried "
        "| references resolved |"
    )
    print("|---|---|---|---|---|---|---|---|")
    closing = []
    for pair in pairs.PAIRS.values():
        if wanted and pair.old.name not in wanted:
            continue
        old, new = pairs.find(pair.old), pairs.find(pair.new)
        result, seconds = build(old, new, pair.old.name)
        for image in result["images"]:
            if not image["changed"]:
                continue
            print(
                f"| {pair.old.name} {pair.old.version} → {pair.new.version}, {image['name']} "
                f"| {image['functions_new']} | {image['matched']} "
                f"| {image['identical'] / image['functions_new']:.1%} | {image['noise']} "
                f"| {image['changed']} | {image['carried']} + {image['added']} new "
                f"| {image['references']} |"
            )
        states = Counter(verdict["state"] for verdict in result["advisories"])
        codes = Counter(refusal["code"] for refusal in result["left"])
        closing.append(
            f"| {pair.old.name} {pair.old.version} → {pair.new.version} "
            f"| {states['live']} / {states['needs-restart']} / {states['unknown']} "
            f"| {', '.join(f'{n} {c}' for c, n in codes.most_common()) or 'nothing is left'} "
            f"| {seconds:.1f} | {result['bytes']:,} ({result['bytes'] / new.stat().st_size:.1%}) |"
        )
    print()
    print(
        "| package | CVEs live / needs restart / unknown | left | seconds | bytes (of the .deb) |"
    )
    print("|---|---|---|---|---|")
    for line in closing:
        print(line)


if __name__ == "__main__":
    main()
