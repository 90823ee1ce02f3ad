from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

import pytest

from hotmend.build.errors import BuildError
from hotmend.build.source_fix import SourceFix
from hotmend.build.source_patches import read_fixes
from real_packages import real

CVE = "CVE-2020-0001"
BASE = """\
#include <stdio.h>
#define LIMIT 10
struct state { int depth; };
static int helper(int a);

static int helper(int a)
{
    static const int table[] = { 1, 2 };
    /* remark */
    return a + table[0];
}

int exported(int a)
{
    return helper(a);
}

int bystander(int a)
{
    return a;
}
"""


@cache
def libxml2() -> dict[str, SourceFix]:
    stem = "source/libxml2_2.9.14+dfsg-1.3~deb12u"
    return read_fixes(real(f"{stem}4.dsc"), real(f"{stem}6.dsc"))


@cache
def curl() -> dict[str, SourceFix]:
    stem = "source/curl_7.88.1-10+deb12u"
    return read_fixes(real(f"{stem}5.dsc"), real(f"{stem}15.dsc"))


def names(fix: SourceFix) -> set[str]:
    return {function.name for function in fix.functions}


def patch(before: str, after: str, path: str = "lib/a.c") -> str:
    lines = (text.splitlines(keepends=True) for text in (before, after))
    return "".join(difflib.unified_diff(*lines, f"a/{path}", f"b/{path}"))


def tree(root: Path, revision: int, patches: dict[str, str], *, upstream: str = "1.0") -> Path:
    files = {
        "debian/changelog": f"x ({upstream}-{revision}) s; urgency=low\n\n  * X.\n\n"
        " -- N <n@x>  Mon, 01 Jan 2024 00:00:00 +0000\n",
        "debian/rules": "#!/usr/bin/make -f\n",
        "debian/patches/series": "".join(f"{name}\n" for name in patches),
        "lib/a.c": BASE,
        "lib/a.h": "int exported(int a);\n",
        "tests/t.c": "int main(void) { return 0; }\n",
    }
    files |= {f"debian/patches/{name}": text for name, text in patches.items()}
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def one_patch(folder: Path, body: str, name: str = f"{CVE}.patch") -> SourceFix:
    old, new = tree(folder / "old", 1, {}), tree(folder / "new", 2, {name: body})
    return read_fixes(old, new)[CVE]


def test_libxml2s_patches_touch_the_functions_that_a_reader_finds() -> None:
    fixes = libxml2()
    assert names(fixes["CVE-2026-1757"]) == {"xmlShell"}
    assert names(fixes["CVE-2025-9714"]) == {
        "xmlXPathRunEval",
        "xmlXPathCtxtCompile",
        "xmlXPathEvalExpr",
    }
    assert {"xmlExpandCatalog", "xmlParseSGMLCatalog", "xmlLoadCatalog"} <= names(
        fixes["CVE-2025-8732"]
    )
    assert "xmlCatalogListXMLResolveURI" in names(fixes["CVE-2026-0990"])
    assert "xmlParseXMLCatalogNode" in names(fixes["CVE-2026-0992"])


def test_libxml2s_include_limit_changes_more_than_functions() -> None:
    fix = libxml2()["CVE-2026-0989"]
    assert {"xmlRelaxNGIncludePush", "xmlRelaxNGLoadInclude", "xmlRelaxNGParse"} <= names(fix)
    assert "relaxng.c" in {hunk.file for hunk in fix.outside}
    assert libxml2()["CVE-2025-9714"].outside == ()


def test_statics_of_libxml2_are_known_as_static() -> None:
    static = {f.name: f.static for f in libxml2()["CVE-2025-9714"].functions}
    assert static == {
        "xmlXPathRunEval": True,
        "xmlXPathCtxtCompile": False,
        "xmlXPathEvalExpr": False,
    }


def test_an_amended_patch_touches_only_what_was_amended() -> None:
    fix = libxml2()["CVE-2025-7425"]
    assert "xmlValidateOneAttribute" in names(fix)
    assert "xmlAddID" not in names(fix)


def test_curls_fourteen_advisories_are_all_found_with_their_functions() -> None:
    fixes = curl()
    assert len(fixes) == 15  # and the regression of an older one
    assert names(fixes["CVE-2024-2398"]) == {
        "free_push_headers",
        "push_promise",
        "on_header",
        "http2_data_done",
    }
    assert names(fixes["CVE-2025-14524"]) == {"Curl_sasl_start", "Curl_sasl_continue"}
    assert names(fixes["CVE-2024-9681"]) == {"Curl_hsts", "hsts_add"}
    assert names(fixes["CVE-2026-5773"]) == {"smb_connect"}
    assert all(fix.doubts == () for fix in fixes.values())


def test_an_unlabelled_patch_of_the_same_file_is_counted_in() -> None:
    fix = curl()["CVE-2024-11053"]
    assert fix.patches == ("CVE-2024-11053.patch",)
    assert "url-use-same-credentials-on-redirect.patch" in fix.builds_on
    assert "override_login" in names(fix)


def test_a_new_member_of_a_struct_is_outside_functions() -> None:
    assert [hunk.what for hunk in curl()["CVE-2025-14819"].outside] == ["declaration or data"]


def test_a_change_inside_a_function_touches_it_and_names_who_may_hold_a_copy(
    tmp_path: Path,
) -> None:
    fix = one_patch(tmp_path, patch(BASE, BASE.replace("a + table[0]", "a + table[1]")))
    assert [(f.name, f.static) for f in fix.functions] == [("helper", True)]
    assert [f.name for f in fix.hosts] == ["exported"]
    assert fix.outside == ()


def test_a_cve_may_be_named_in_the_header_only(tmp_path: Path) -> None:
    body = patch(BASE, BASE.replace("return a;", "return -a;"))
    header = f"Subject: fix\nBug: https://tracker.example.org/{CVE.lower()}\n\n"
    assert names(one_patch(tmp_path, header + body, "fix.patch")) == {"bystander"}


def test_a_cve_named_in_the_code_only_does_not_label_the_patch(tmp_path: Path) -> None:
    body = patch(BASE, BASE.replace("/* remark */", f"/* {CVE} */"))
    old, new = tree(tmp_path / "old", 1, {}), tree(tmp_path / "new", 2, {"x.patch": body})
    assert read_fixes(old, new) == {}


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("#define LIMIT 10", "#define LIMIT 11", "#define"),
        ("int depth;", "int depth; int more;", "declaration or data"),
        ("{ 1, 2 }", "{ 3, 4 }", "static data in helper"),
        ("#include <stdio.h>", "#include <stdlib.h>", "#include"),
    ],
)
def test_macros_types_and_data_are_outside_functions(
    before: str, after: str, what: str, tmp_path: Path
) -> None:
    fix = one_patch(tmp_path, patch(BASE, BASE.replace(before, after)))
    assert {hunk.what for hunk in fix.outside} == {what}


def test_a_comment_or_a_test_changes_nothing_compiled(tmp_path: Path) -> None:
    body = patch(BASE, BASE.replace("remark", "better remark")) + patch(
        "int main(void) { return 0; }\n", "int main(void) { return 1; }\n", "tests/t.c"
    )
    fix = one_patch(tmp_path, body)
    assert (fix.functions, fix.outside) == ((), ())


def test_headers_and_makefiles_are_outside_functions(tmp_path: Path) -> None:
    header = "int exported(int a);\n"
    body = patch(header, "long exported(int a);\n", "lib/a.h") + patch("", "x:\n", "Makefile")
    assert {hunk.file for hunk in one_patch(tmp_path, body).outside} == {"lib/a.h", "Makefile"}
    fine = patch(header, f"{header}int further(int a);\n", "lib/a.h")
    assert one_patch(tmp_path / "fine", fine).outside == ()


def test_a_function_that_another_new_patch_changes_is_counted_in_when_used(
    tmp_path: Path,
) -> None:
    first = BASE.replace("return a;", "return a < LIMIT;")
    second = first.replace("return helper(a);", "return helper(bystander(a));")
    patches = {"CVE-2020-0009.patch": patch(BASE, first), f"{CVE}.patch": patch(first, second)}
    fixes = read_fixes(tree(tmp_path / "old", 1, {}), tree(tmp_path / "new", 2, patches))
    assert fixes[CVE].builds_on == ("CVE-2020-0009.patch",)
    assert names(fixes[CVE]) == {"exported", "bystander"}
    assert fixes["CVE-2020-0009"].builds_on == ()


def test_a_refreshed_patch_is_not_a_change_and_a_moved_hunk_still_applies(tmp_path: Path) -> None:
    body = patch(BASE, BASE.replace("a + table[0]", "a + table[1]"))
    moved = body.replace("@@ -7,7 +7,7 @@", "@@ -4,7 +4,7 @@")
    assert moved != body
    old = tree(tmp_path / "old", 1, {f"{CVE}.patch": body})
    assert read_fixes(old, tree(tmp_path / "new", 2, {f"{CVE}.patch": moved})) == {}
    assert read_fixes(tree(tmp_path / "none", 1, {}), tmp_path / "new")[CVE].functions


def test_a_dropped_patch_touches_what_it_had_touched(tmp_path: Path) -> None:
    body = patch(BASE, BASE.replace("a + table[0]", "a + table[1]"))
    old = tree(tmp_path / "old", 1, {f"{CVE}.patch": body})
    fix = read_fixes(old, tree(tmp_path / "new", 2, {}))[CVE]
    assert fix.patches == (f"{CVE}.patch (as it was)",)
    assert names(fix) == {"helper"}


def test_a_patch_that_does_not_apply_is_an_error(tmp_path: Path) -> None:
    body = patch(BASE.replace("remark", "other"), BASE.replace("remark", "words"))
    with pytest.raises(BuildError, match=r"does not apply to lib/a\.c"):
        one_patch(tmp_path, body)


def test_other_changes_than_patches_are_doubts(tmp_path: Path) -> None:
    body = patch(BASE, BASE.replace("a + table[0]", "a + table[1]"))
    old, new = tree(tmp_path / "old", 1, {}), tree(tmp_path / "new", 2, {f"{CVE}.patch": body})
    assert read_fixes(old, new)[CVE].doubts == ()
    (new / "debian/rules").write_text("#!/usr/bin/make -f\nCFLAGS += -DXML_GE=1\n")
    assert "debian/rules changes" in read_fixes(old, new)[CVE].doubts[0]
    newer = tree(tmp_path / "newer", 1, {f"{CVE}.patch": body}, upstream="1.1")
    assert "upstream version changes from 1.0 to 1.1" in read_fixes(old, newer)[CVE].doubts[0]
