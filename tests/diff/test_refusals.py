"""Each thing that the differ refuses, beside the nearest thing that it carries."""

from __future__ import annotations

from collections.abc import Callable

from hotmend.diff.changeset import ChangeSet
from hotmend.model.refusal import RefusalCode

Diff = Callable[..., ChangeSet]

COMMON = """
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
"""


def carried(changes: ChangeSet) -> set[str]:
    return {replacement.old.name for replacement in changes.replacements}


def left(changes: ChangeSet) -> set[RefusalCode]:
    return {refusal.code for refusal in changes.left}


def test_a_new_check_in_a_function_is_carried(diff_of: Diff) -> None:
    source = COMMON + "int check(int n) { %s return n * 3 + 1; }"
    changes = diff_of(source % "", source % "if (n > 100) return -1;")
    assert carried(changes) == {"check"}
    assert changes.whole
    assert [len(r.detours) for r in changes.replacements] == [1]


def test_the_same_source_twice_changes_nothing(diff_of: Diff) -> None:
    source = COMMON + "int one(int n) { return n * 3 + 1; } int two(int n) { return one(n) ^ n; }"
    changes = diff_of(source, source)
    assert not changes.changed and not changes.left and not changes.replacements


STRUCT = """
struct parser { char *text; %s long position; long line; long column; };
struct parser *parser_new(const char *t)
{ struct parser *p = calloc(1, sizeof *p); p->text = strdup(t); return p; }
long parser_line(struct parser *p) { return p->line * 2 + p->column; }
long parser_move(struct parser *p, long by) { p->position += by; %s return p->line += by; }
long parser_column(struct parser *p) { return p->column - p->position; }
"""


def test_a_field_in_the_middle_of_a_structure_is_a_changed_layout(diff_of: Diff) -> None:
    changes = diff_of(
        COMMON + STRUCT % ("", ""), COMMON + STRUCT % ("long limit;", "if (by > p->limit) by = 0;")
    )
    assert RefusalCode.DATA_LAYOUT_CHANGED in left(changes)
    assert carried(changes) == set()
    evidence = [dict(r.evidence) for r in changes.left if "moved from" in r.sentence]
    assert evidence and all(e["old code"] != e["new code"] for e in evidence)


def test_a_check_on_a_field_that_was_always_there_is_no_changed_layout(diff_of: Diff) -> None:
    changes = diff_of(
        COMMON + STRUCT % ("", ""), COMMON + STRUCT % ("", "if (by > p->column) by = 0;")
    )
    assert carried(changes) == {"parser_move"}
    assert changes.whole


GROWING = """
struct job { long id; long size; %s };
struct job *job_new(long id)
{ struct job *j = malloc(sizeof *j); j->id = id; j->size = 0; %s return j; }
long job_run(struct job *j) { %s return j->id + j->size; }
"""


def test_a_structure_that_grows_at_its_end_is_a_changed_layout(diff_of: Diff) -> None:
    changes = diff_of(
        COMMON + GROWING % ("", "", ""),
        COMMON
        + GROWING
        % (
            "long runs; long most;",
            "j->runs = 0; j->most = 9;",
            "if (j->runs++ > j->most) return -1;",
        ),
    )
    assert left(changes) == {RefusalCode.DATA_LAYOUT_CHANGED}
    assert carried(changes) == set()


TABLE = """
static int twice(int n) { return n * 2; }
static int thrice(int n) { return n * 3 + (n >> 2); }
static int (*const methods[])(int) = { twice, %s };
int call(unsigned which, int n) { return which < 2 ? methods[which](n) : -1; }
int other(int n) { return thrice(n) + %s; }
"""


def test_a_table_of_methods_that_changed_is_refused(diff_of: Diff) -> None:
    changes = diff_of(TABLE % ("twice", "1"), TABLE % ("thrice", "1"))
    assert left(changes) == {RefusalCode.STATIC_TABLE_CHANGED}
    (refusal,) = changes.left
    assert "call" in dict(refusal.evidence)["read by"]


def test_a_function_beside_an_unchanged_table_is_carried(diff_of: Diff) -> None:
    changes = diff_of(TABLE % ("thrice", "1"), TABLE % ("thrice", "7"))
    assert carried(changes) == {"other"}
    assert changes.whole


def test_constants_travel_with_the_functions_that_read_them(diff_of: Diff) -> None:
    source = """
    static const unsigned char weights[64] = { %s };
    int weigh(const unsigned char *t, int n)
    { int s = 0; for (int i = 0; i < n; i++) s += weights[t[i] & 63]; return s; }
    """
    old, new = (", ".join(str(n * k % 251) for n in range(64)) for k in (7, 11))
    changes = diff_of(source % old, source % new)
    assert carried(changes) == {"weigh"}
    assert changes.whole


def test_a_new_static_variable_is_refused(diff_of: Diff) -> None:
    source = "int base = 5; %s int count(int n) { %s return n + base; }"
    changes = diff_of(
        source % ("", ""), source % ("static int calls = 3;", "if (calls++ > 9) return -1;")
    )
    assert RefusalCode.NEW_INITIALISED_DATA in left(changes)
    assert carried(changes) == set()


def test_an_old_static_variable_stays_the_same_variable(diff_of: Diff) -> None:
    source = """
    static int calls = 3;
    int seen(void) { return calls; }
    int count(int n) { calls += n; %s return n + 5; }
    """
    changes = diff_of(source % "", source % "if (calls > 9) return -1;")
    assert carried(changes) == {"count"}
    assert changes.whole


def test_a_new_constructor_refuses_the_image(diff_of: Diff) -> None:
    source = "int value = 4; int get(int n) { return value * n%s; } %s"
    constructor = "__attribute__((constructor)) static void begin(void) { value = 5; }"
    changes = diff_of(source % ("", ""), source % (" + 1", constructor))
    assert RefusalCode.NEW_CONSTRUCTOR in left(changes)
    assert carried(changes) == set()


def test_a_new_library_refuses_the_image(diff_of: Diff) -> None:
    source = "%s int get(int n) { return n * 2 + %s; }"
    changes = diff_of(
        source % ("", "1"),
        source % ("double cos(double);", "(int)cos(n)"),
        "-fno-builtin",
        new_flags=("-lm",),
    )
    assert RefusalCode.NEW_NEEDED in left(changes)
    assert carried(changes) == set()


def test_more_thread_local_storage_refuses_the_image(diff_of: Diff) -> None:
    source = "static __thread int a; %s int get(int n) { a += n; return a %s; }"
    changes = diff_of(
        source % ("", ""), source % ("static __thread long b[4];", "+ (int)(b[n & 3] += n)")
    )
    assert RefusalCode.NEW_TLS in left(changes)
    assert carried(changes) == set()


PROGRAM = """
#include <stdio.h>
#include <unistd.h>
#include <stdlib.h>
__attribute__((noinline)) int work(int n) { return n * 7 + %s; }
__attribute__((noinline, noreturn)) void serve(int n)
{ for (;;) { n = work(n) %s; if (n < 0) exit(n); } }
int main(int argc, char **argv)
{ printf("%s\\n"); if (argc > 1) serve(argc); return work(argc); }
"""


def test_main_with_another_version_string_is_noted_and_left_alone(diff_of: Diff) -> None:
    changes = diff_of(
        PROGRAM % ("1", "", "version one"), PROGRAM % ("2", "", "version two"), "-pie", "-fPIE"
    )
    assert len(changes.replacements) == 1
    assert [note.code for note in changes.notes] == [RefusalCode.RUNS_BEFORE_PATCH]
    assert changes.whole


def test_a_main_loop_that_changed_is_left_and_said(diff_of: Diff) -> None:
    changes = diff_of(
        PROGRAM % ("1", "", "version"), PROGRAM % ("1", "+ 3", "version"), "-pie", "-fPIE"
    )
    assert left(changes) == {RefusalCode.NEVER_RETURNS}
    assert not changes.whole


def test_a_function_too_short_for_a_detour_is_refused(diff_of: Diff) -> None:
    source = """
    __attribute__((aligned(1))) void nothing(void) {{ {} }}
    __asm__(".text\\n.globl tiny\\n.type tiny,@function\\ntiny:\\n.cfi_startproc\\n{}\\n"
            ".cfi_endproc\\n.globl next\\n.type next,@function\\nnext:\\n.cfi_startproc\\n"
            "mov $5,%eax\\nret\\n.cfi_endproc\\n");
    """
    changes = diff_of(source.format("", "inc %eax\\nret"), source.format("", "dec %eax\\nret"))
    assert left(changes) == {RefusalCode.ENTRY_TOO_SHORT}
    assert carried(changes) == set()


def test_a_branch_into_the_detour_is_refused(diff_of: Diff) -> None:
    source = """
    __asm__(".text\\n.globl spin\\n.type spin,@function\\nspin:\\n.cfi_startproc\\n"
            "nop\\n1: dec %edi\\njnz 1b\\nmov ${},%eax\\nret\\n.cfi_endproc\\n");
    """
    changes = diff_of(source.format(1), source.format(2))
    assert left(changes) == {RefusalCode.BRANCH_INTO_ENTRY}


def test_a_changed_line_number_is_noise(diff_of: Diff) -> None:
    source = """
    void *tracked(unsigned long size, const char *file, int line);
    %s
    void *get(int n) { return tracked(n * 8ul, "lib/get.c", __LINE__); }
    """
    changes = diff_of(source % "", source % "\n\n\n")
    assert len(changes.noise) == 1 and not changes.changed


def test_a_changed_size_beside_a_file_name_is_no_noise(diff_of: Diff) -> None:
    source = """
    void *tracked_malloc(unsigned long size, const char *file, int line);
    void *get(void) { return tracked_malloc(%s, "lib/get.c", 12); }
    """
    changes = diff_of(source % "64", source % "72")
    assert not changes.noise
    assert left(changes) == {RefusalCode.DATA_LAYOUT_CHANGED}


INTERFACE = """
#include <string.h>
__attribute__((noinline, noclone))
static int inner(const char *t%s) { return (int)strlen(t) * 3 + %s; }
int one(const char *t) { return inner(t%s) + 1; }
int two(const char *t) { return inner(t%s) + 2; }
"""


def test_an_interface_that_moved_is_carried_only_with_all_its_callers(diff_of: Diff) -> None:
    changes = diff_of(
        INTERFACE % ("", "1", "", ""),
        INTERFACE % (", int most", "most", ", 5", ", 50"),
    )
    assert carried(changes) >= {"one", "two"}
    assert len(changes.replacements) + len(changes.added) == 3
    assert changes.whole
