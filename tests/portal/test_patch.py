"""The page of a published patch: what it changes, what each advisory gets, and the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest

from hotmend.hotpatch.codec import decode
from hotmend.hotpatch.hotpatch import Function, Hotpatch, PatchedImage
from hotmend.server.portal import disassembly
from portal import browser, pages
from portal.fleet import EXPAT
from server.conftest import Plane, serving

MOST = 10_000


@dataclass
class Published:
    plane: Plane
    hotpatch: Hotpatch
    verdicts: dict[str, str]

    def page(self, path: str) -> tuple[int, str]:
        cookie = {"Cookie": f"__Host-hotmend={browser.session_of(self.plane)}"}
        answer = self.plane.pool.request("GET", self.plane.base + path, headers=cookie)
        assert len(answer.data) <= 200 << 10
        return answer.status, unescape(answer.data.decode())


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """libexpat's, of Debian's own packages."""
    vendor = tmp_path_factory.mktemp("vendor")
    with serving(tmp_path_factory.mktemp("published")) as plane:
        if not pages.publish(plane, vendor):
            pytest.skip("libexpat's packages are not here: set HOTMEND_PAIRS")
        update = json.loads((vendor / "out/release.json").read_text())["updates"][0]
        verdicts = {verdict["id"]: verdict["state"] for verdict in update["verdicts"]}
        file = vendor / "out" / update["hotpatch"]
        yield Published(plane, decode(file.read_bytes()), verdicts)


def functions(hotpatch: Hotpatch) -> list[tuple[int, int, PatchedImage, Function]]:
    return [
        (place, number, image, function)
        for place, image in enumerate(hotpatch.images)
        for number, function in enumerate(image.functions)
    ]


def payload(image: PatchedImage, function: Function) -> list[bytes]:
    whole = bytearray(image.span)
    for offset, chunk in image.chunks:
        whole[offset : offset + len(chunk)] = chunk
    return [bytes(whole[offset : offset + size]) for offset, size in function.payload_ranges]


def test_the_page_has_every_function_and_every_verdict(published: Published) -> None:
    status, text = published.page(f"/portal/patch?article={quote(EXPAT)}")
    assert status == 200
    known = functions(published.hotpatch)
    assert known and published.verdicts
    for _, _, _, function in known:
        assert f"<code>{function.name}</code>" in text
        assert f"{function.ranges[0][0]:#x}" in text
    words = {"live": "Protected", "needs-restart": "Restart needed", "unknown": "Unknown"}
    for advisory, state in published.verdicts.items():
        row = re.search(
            rf"<tr><th scope=\"row\" class=\"nowrap\">{advisory}</th>.*?</tr>", text, re.S
        )
        assert row is not None and words[state] in row[0], advisory


def test_the_code_of_every_function_is_its_own_to_the_last_byte(published: Published) -> None:
    for _, _, image, function in functions(published.hotpatch):
        lines = disassembly.lines(image, function, MOST)
        written = bytes.fromhex("".join(line.bytes for line in lines))
        assert written == b"".join(payload(image, function)), function.name


def test_another_disassembler_cuts_it_into_the_same_instructions(
    published: Published, tmp_path: Path
) -> None:
    if shutil.which("objdump") is None:
        pytest.skip("there is no objdump: apt-get install binutils")
    for _, _, image, function in functions(published.hotpatch):
        lines = iter(disassembly.lines(image, function, MOST))
        for part in payload(image, function):
            (tmp_path / "part").write_bytes(part)
            words = ["objdump", "-D", "-w", "-b", "binary", "-m", "i386:x86-64", "-M", "intel"]
            said = subprocess.run([*words, str(tmp_path / "part")], capture_output=True, text=True)
            theirs = re.findall(r"^ +[0-9a-f]+:\t((?:[0-9a-f]{2} )+) *\t(\S+)", said.stdout, re.M)
            assert theirs
            for code, mnemonic in theirs:
                own = next(lines)
                assert own.bytes == code.strip(), function.name
                if mnemonic in ("call", "ret", "push", "lea"):
                    assert own.text.startswith(mnemonic)


def test_what_a_line_refers_to_is_what_the_file_says(published: Published) -> None:
    """Of each fixup in a function the line that covers it speaks, and no other does."""
    spoken = 0
    for _, _, image, function in functions(published.hotpatch):
        places = {fixup.offset: fixup.target for fixup in image.fixups}
        for line in disassembly.lines(image, function, MOST):
            length = len(line.bytes.split())
            inside = [places[at] for at in range(line.offset, line.offset + length) if at in places]
            for target in inside:
                name = getattr(target, "symbol", "") or f"old {target.va:#x}"
                assert line.refers == name
                spoken += 1
            assert inside or not line.refers.startswith("old ")
    assert spoken


def test_the_functions_page_says_that_old_bytes_are_not_there(published: Published) -> None:
    place, number, image, function = functions(published.hotpatch)[0]
    path = f"/portal/patch/function?article={quote(EXPAT)}&image={place}&function={number}"
    status, text = published.page(path)
    assert status == 200
    assert "does not have the old bytes" in text and function.sha256 in text
    for line in disassembly.lines(image, function, 20):
        assert line.text in text and line.bytes in text


@pytest.mark.parametrize("where", ["image=9&function=0", "image=0&function=99999", "image=x"])
def test_a_function_that_is_not_there_is_refused(published: Published, where: str) -> None:
    status, text = published.page(f"/portal/patch/function?article={quote(EXPAT)}&{where}")
    assert status == 404 and "FunctionNotFound" in text
