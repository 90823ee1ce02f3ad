from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from hotmend.build.c_source import CSource
from hotmend.build.source_tree import open_source
from real_packages import real

TORN = """\
#define CALL(x) helper(x)
/* a comment
   over lines */
static int helper(int a);

static int
helper(int a)
{
#ifdef WIDE
    if (a > 1) {
#else
    if (a > 2) {
#endif
        static const int table[] = {
            1, 2 };
#define LOCAL 3
        return table[0];
    }
    return a; // why
}

struct thing { int x; };

char *exported(char *p) {
    return p + CALL(1);
}
"""


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(TORN.split("\n"), 1) if text in line)


def test_a_function_torn_by_conditions_is_one_function() -> None:
    helper, exported = CSource(TORN).functions
    assert (helper.name, helper.static) == ("helper", True)
    assert TORN.split("\n")[helper.first - 1 : helper.last][-1] == "}"
    assert (exported.name, exported.static) == ("exported", False)
    assert "CALL" in exported.mentions


@pytest.mark.parametrize("text", ["if (a > 1)", "if (a > 2)", "return a;", "table[0]"])
def test_every_branch_belongs_to_the_function(text: str) -> None:
    assert [f.name for f in CSource(TORN).functions_at(line_of(text))] == ["helper"]


def test_lines_are_told_apart() -> None:
    source = CSource(TORN)
    assert not source.is_code(line_of("a comment"))
    assert not source.is_code(line_of("over lines"))
    assert source.is_code(line_of("return a;"))
    assert source.static_data_at(line_of("1, 2"))
    assert not source.static_data_at(line_of("return a;"))
    assert source.directive(line_of("LOCAL")) == "define"
    assert source.directive(line_of("return a;")) == ""
    assert source.prototype_at(line_of("static int helper(int a);")) == ("helper", True)
    assert source.prototype_at(line_of("struct thing")) is None
    assert source.macros["CALL"] >= {"helper"}
    assert source.functions_at(line_of("struct thing")) == ()


def test_a_prototype_with_attributes_is_not_a_plain_one() -> None:
    assert CSource("int f(int);\n").prototype_at(1) == ("f", False)
    assert CSource("int f(int) __attribute__((const));\n").prototype_at(1) is None


def test_a_name_made_by_a_macro_is_no_name() -> None:
    (one,) = CSource("static int\nPREFIX(scan)(int a)\n{\n  return a;\n}\n").functions
    assert one.name == ""


def test_functions_of_real_files_are_those_that_ctags_finds(tmp_path: Path) -> None:
    ctags = shutil.which("ctags")
    if ctags is None:
        pytest.skip("universal-ctags is not installed: there is nothing to compare with")
    tree = open_source(real("source/curl_7.88.1-10+deb12u15.dsc"))
    names = ["url", "setopt", "http2", "http", "hsts", "ws", "netrc", "vtls/openssl", "vtls/gtls"]
    texts = tree.read({f"lib/{name}.c" for name in names})
    assert len(texts) == len(names)
    for text in texts.values():
        path = tmp_path / "file.c"
        path.write_text(text)
        command = [ctags, "--output-format=json", "--fields=+ne", "--kinds-C=f", "-f", "-", path]
        listing = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        theirs = {(tag["name"], tag["end"]) for tag in map(json.loads, listing.splitlines())}
        assert {(one.name, one.last) for one in CSource(text).functions} == theirs
