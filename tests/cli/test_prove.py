"""``hotmend release prove`` on real packages, and on hotpatches that deserve to fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cli.conftest import Run
from hotmend.cli import exit_codes
from hotmend.hotpatch.codec import decode, encode
from hotmend.release.attestation import proven
from real_packages import EXPAT, NGINX, XML2, real

PROOFS = Path(__file__).parents[2] / "proofs"
NGINX_PROOF = f"CVE-2026-15176={PROOFS / 'nginx' / 'CVE-2026-15176.py'}"
WORKLOAD = """#!/bin/sh
set -e
"$HOTMEND_TREE/usr/sbin/nginx" -v 2>&1
echo "it says its version"
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from hotmend.build.bench import make

    folder = tmp_path_factory.mktemp("built")
    files = {}
    for name, pair in (("nginx", NGINX), ("libxml2", XML2)):
        result, _ = make(real(pair[0]), real(pair[1]), None, [])
        assert result.hotpatch is not None
        files[name] = folder / f"{name}.hotpatch"
        files[name].write_bytes(encode(result.hotpatch))
    return files


def test_nginx_is_proven_and_attested(run: Run, built: dict[str, Path], tmp_path: Path) -> None:
    script, output = tmp_path / "smoke.sh", tmp_path / "proven.hotpatch"
    script.write_text(WORKLOAD)
    script.chmod(0o755)
    words = ("prove", built["nginx"], real(NGINX[0]), "--proof", NGINX_PROOF)
    said = run("release", *words, "--workload", script, "-o", output, check=exit_codes.DONE)
    assert "✓ CVE-2026-15176" in said.out and "✓ workload smoke.sh" in said.out
    assert proven(decode(output.read_bytes())) == ""


def test_libxml2_is_proven_and_attested(run: Run, built: dict[str, Path], tmp_path: Path) -> None:
    scripts = sorted((PROOFS / "libxml2").glob("CVE-*.py"))
    words = [word for s in scripts for word in ("--proof", f"{s.stem}={s}")]
    output = tmp_path / "proven.hotpatch"
    first = ("prove", built["libxml2"], real(XML2[0]))
    said = run("release", *first, *words, "-o", output, check=exit_codes.DONE)
    assert said.out.count("✓ CVE-") == len(scripts) >= 3
    assert proven(decode(output.read_bytes())) == ""


def _with_code(file: Path, code: bytes) -> bytes:
    """The hotpatch with every replaced function beginning with ``code``."""
    hotpatch = decode(file.read_bytes())
    images = []
    for image in hotpatch.images:
        places = sorted(f.payload_ranges[0][0] for f in image.functions)
        kept = [f for f in image.fixups if all(not p <= f.offset < p + len(code) for p in places)]
        chunks = []
        for offset, data in image.chunks:
            changed = bytearray(data)
            for place in places:
                if offset <= place < offset + len(data) - len(code):
                    changed[place - offset : place - offset + len(code)] = code
            chunks.append((offset, bytes(changed)))
        images.append(replace(image, chunks=tuple(chunks), fixups=tuple(kept)))
    return encode(replace(hotpatch, images=tuple(images)))


@pytest.mark.parametrize(
    ("code", "what"),
    [(b"\x0f\x0b", "crashes its target"), (b"\x31\xc0\xc3", "does nothing")],
)
def test_a_wrong_hotpatch_is_stopped(
    run: Run, built: dict[str, Path], tmp_path: Path, code: bytes, what: str
) -> None:
    wrong, output = tmp_path / "wrong.hotpatch", tmp_path / "proven.hotpatch"
    wrong.write_bytes(_with_code(built["nginx"], code))
    words = ("prove", wrong, real(NGINX[0]), "--proof", NGINX_PROOF, "-o", output)
    said = run("release", *words, check=exit_codes.FAILED)
    assert "✗ CVE-2026-15176" in said.out and "not proven" in said.err, what
    assert not output.exists()


def test_a_hotpatch_that_leaves_the_flaw_is_stopped(
    run: Run, built: dict[str, Path], tmp_path: Path
) -> None:
    hotpatch = decode(built["nginx"].read_bytes())
    image = hotpatch.images[0]
    first, *others = image.functions
    kept = (first, *(replace(function, entry=None, short=None) for function in others))
    wrong = tmp_path / "wrong.hotpatch"
    wrong.write_bytes(encode(replace(hotpatch, images=(replace(image, functions=kept),))))
    output = tmp_path / "proven.hotpatch"
    words = ("prove", wrong, real(NGINX[0]), "--proof", NGINX_PROOF, "-o", output)
    said = run("release", *words, check=exit_codes.FAILED)
    assert "still shows the flaw" in said.out
    assert not output.exists()


def test_something_must_prove_it(run: Run, built: dict[str, Path], tmp_path: Path) -> None:
    words = ("prove", built["nginx"], real(EXPAT[0]), "-o", tmp_path / "x")
    said = run("release", *words, check=exit_codes.USAGE)
    assert "--proof or --workload" in said.err
