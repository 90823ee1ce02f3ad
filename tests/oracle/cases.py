"""What is run three ways: each case is one program of the source package with its arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oracle.documents import CHAIN, INPUTS

NAMES = ("-//a//EN", "u:sys", "u:uri", "u:re1", "u:rs1", "u:d1", "-//d//EN", "-//second//EN",
         "urn:publicid:-:a:EN", "none")  # fmt: skip
XMLLINT = (
    (),
    ("--noent", "--load-trace"),
    ("--valid", "--noent"),
    ("--postvalid", "--format"),
    ("--dtdvalid", "plain.dtd"),
    ("--dtdvalidfpi", "-//a//EN"),
    ("--loaddtd", "--dtdattr", "--c14n"),
    ("--sax", "--noent"),
    ("--sax1",),
    ("--stream", "--valid", "--noent"),
    ("--walker",),
    ("--push", "--noent"),
    ("--pushsmall",),
    ("--memory", "--recover", "--debug"),
    ("--copy", "--noblanks", "--nsclean"),
    ("--html", "--xmlout"),
    ("--xinclude", "--nocdata"),
    ("--schema", "schema.xsd"),
    ("--relaxng", "grammar.rng"),
    ("--schematron", "rules.sct"),
    ("--schematron", "bad-rules.sct"),
    ("--xpath", "//*[@id]"),
    ("--pattern", "r/item", "--stream"),
    ("--insert", "--noblanks"),
    ("--exc-c14n", "--oldxml10", "--huge"),
)
DOCUMENTS = ("document.xml", "invalid.xml", "broken.xml", "page.html", "include.xml")
BAD_GRAMMARS = ("attributes-overlap.rng", "interleave-overlap.rng", "rules.rng", "parts.rng",
                "names.rng", "self.rng")  # fmt: skip
NOT_COMPARABLE = {
    # Calls a function that only the fixed build exports; _grammars() sets the limit by variable.
    "Relax-NG include limit tests",
    # Its threads write in any order.
    "Catalog and Threads regression tests",
}


@dataclass(frozen=True)
class Case:
    """``program``: a C file of the source, or ours. ``stdin``: an input's name, or ""."""

    program: str
    arguments: tuple[str, ...]
    stdin: str = ""
    environment: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        settings = "".join(f"{k}={v} " for k, v in self.environment)
        words = " ".join((self.program, *self.arguments))
        return f"{settings}{words}" + (f" < {self.stdin}" if self.stdin else "")


def slice_of_cases() -> list[Case]:
    """Enough to tell old from fixed in every way that differs: a few seconds."""
    return [
        *_drive(),
        *_catalogues(),
        *_grammars(),
        *_rules(),
        *_documents(("document.xml", "invalid.xml")),
        Case("xmllint", ("--shell", "document.xml"), "shell.txt"),
        Case("testXPath", ("-i", "document.xml", "-f", "xpaths.txt")),
        Case("testapi", ("-q",)),
        Case("testchar", ()),
        Case("testdict", ()),
        Case("testrecurse", ()),
    ]


def all_cases(tree: Path) -> list[Case]:
    """Everything; ``tree``: the fixed source."""
    cases = [
        *slice_of_cases(),
        *_documents(DOCUMENTS),
        *_memory_runs_out(),
        *_source_documents(tree),
        *_other_programs(tree),
        Case("testlimits", ("-crazy",)),
    ]
    return list(dict.fromkeys(cases))


def _drive() -> Iterator[Case]:
    for words in (
        ("xpath-recursion",),
        ("xpath", "document.xml"),
        ("writer",),
        ("fragments", "document.xml"),
        ("dtd", "plain.dtd"),
        ("validity", "document.xml"),
        ("validity", "invalid.xml"),
        ("orphans", "document.xml"),
        ("html",),
    ):
        yield Case("drive", words)


def _catalogues() -> Iterator[Case]:
    for name in ("plain.cat", "self.cat", "repeated.cat", "plain.sgml", "self.sgml", "thrice.sgml"):
        yield Case("drive", ("catalogue", name, *NAMES))
        yield Case("xmlcatalog", (name, *NAMES))
        yield Case("xmlcatalog", ("--convert", name))
        yield Case("xmlcatalog", ("--shell", name), "catalog-shell.txt")
        yield Case("xmlcatalog", ("--add", "uri", "u:x", "y", name))
        yield Case("xmlcatalog", ("--del", "u:sys", name))
    yield Case("xmlcatalog", ("--sgml", "--no-super-update", "--add", "update.sgml", "a.sgml"))
    yield Case("xmlcatalog", ("--sgml", "--no-super-update", "--del", "update.sgml", "a.sgml"))
    yield Case("xmlcatalog", ("--create", "--add", "public", "-//n//EN", "n.dtd", "absent.cat"))
    for name in ("plain.cat", "self.cat", "repeated.cat", "self.sgml"):
        variables = (
            ("SGML_CATALOG_FILES", name),
            ("XML_CATALOG_FILES", name),
            ("XML_DEBUG_CATALOG", "1"),
        )
        yield Case("xmllint", ("--catalogs", "--loaddtd", "document.xml"), environment=variables)


def _grammars() -> Iterator[Case]:
    instances = sorted(path.name for path in INPUTS.glob("instance-*.xml"))
    yield Case("testRelax", ("--debug", "grammar.rng", *instances))
    yield Case("testRelax", ("--tree", "--memory", "grammar.rng", *instances))
    for name in instances:
        yield Case("xmllint", ("--noout", "--relaxng", "grammar.rng", name))
        yield Case("xmllint", ("--noout", "--stream", "--relaxng", "grammar.rng", name))
    for name in BAD_GRAMMARS:
        yield Case("xmllint", ("--noout", "--relaxng", name, "instance-good.xml"))
        yield Case("testRelax", ("--debug", name, "instance-good.xml"))
    for includes, limit in ((2, "1"), (2, "2"), (2, "3"), (2, "many"), (900, ""), (CHAIN, "")):
        variables = (("RNG_INCLUDE_LIMIT", limit),) if limit else ()
        arguments = ("--noout", "--relaxng", f"chain/{CHAIN - includes}.rng", "instance-good.xml")
        yield Case("xmllint", arguments, environment=variables)


def _rules() -> Iterator[Case]:
    for rules in ("rules.sct", "bad-rules.sct"):
        for document in ("document.xml", "instance-good.xml", "instance-wrong.xml"):
            yield Case("xmllint", ("--noout", "--schematron", rules, document))


def _documents(names: tuple[str, ...]) -> Iterator[Case]:
    for name in names:
        for options in XMLLINT:
            yield Case("xmllint", (*options, name))


def _memory_runs_out() -> Iterator[Case]:
    """Every allocation fails in turn: the clean-up paths, where leaks were fixed."""
    for words, last in (
        (("writer",), 80),
        (("xpath", "document.xml"), 400),
        (("catalogue", "plain.sgml", "-//a//EN"), 200),
        (("catalogue", "repeated.cat", "u:uri"), 300),
        (("dtd", "plain.dtd"), 300),
    ):
        for number in range(1, last):
            yield Case("drive", words, environment=(("FAIL_AT", str(number)),))
    for number in range(1, 1200, 3):
        arguments = ("--noout", "--schematron", "bad-rules.sct", "instance-good.xml")
        yield Case("xmllint", arguments, environment=(("FAIL_AT", str(number)),))
        arguments = ("--noout", "--relaxng", "grammar.rng", "instance-good.xml")
        yield Case("xmllint", arguments, environment=(("FAIL_AT", str(number)),))


def _source_documents(tree: Path) -> Iterator[Case]:
    folders = ("test/*", "doc", "doc/examples", "example", "python/tests")
    documents = sorted(path for folder in folders for path in tree.glob(f"{folder}/*.xml"))
    for path in documents:
        for options in ((), ("--noent", "--valid"), ("--stream",), ("--push",), ("--debug",)):
            yield Case("xmllint", (*options, str(path)))
    for path in sorted(tree.glob("doc/*.html")):
        for options in (("--html",), ("--html", "--push"), ("--noent",)):
            yield Case("xmllint", (*options, str(path)))
    for path in sorted(tree.glob("test/schematron/*.sct")):
        for document in sorted(tree.glob(f"test/schematron/{path.stem}*.xml")):
            yield Case("xmllint", ("--schematron", str(path), str(document)))


def _other_programs(tree: Path) -> Iterator[Case]:
    for name in re.findall(r'^    \{ ?"([^"]+)" ?,$', (tree / "runtest.c").read_text(), re.M):
        if name not in NOT_COMPARABLE:
            yield Case("runtest", (name,))
    for path in sorted(tree.glob("fuzz/static_seed/regexp/*")):
        yield Case("testRegexp", ("-i", str(path)))
    for document in DOCUMENTS:
        yield Case("testSAX", (document,))
        yield Case("testSAX", ("--sax2", "--noent", "--push", document))
        yield Case("testReader", (document,))
        yield Case("testHTML", (document,))
        yield Case("testHTML", ("--sax", "--push", document))
        for mode in ("--with-comments", "--1-1-without-comments", "--exc-with-comments"):
            yield Case("testC14N", (mode, document))
    for words in (("a/../b/./c",), ("--base", "http://h/a/b?c", "../d#e"), ("file:///x%20y",)):
        yield Case("testURI", words)
    yield Case("testXPath", ("--tree", "-i", "document.xml", "-f", "xpaths.txt"))
    yield Case("testXPath", ("--expr", "--debug", "-i", "document.xml", "-f", "xpaths.txt"))
    yield Case("testXPath", ("--xptr", "-i", "document.xml", "xpointer(//item)"))
    yield Case("testSchemas", ("--debug", "schema.xsd", "instance-good.xml", "document.xml"))
    for name in ("io1", "parse1", "parse2", "parse3", "reader1", "reader2", "reader3", "reader4",
                 "tree1", "xpath1", "testWriter"):  # fmt: skip
        yield Case(f"doc/examples/{name}", ("document.xml", "//item"))
    yield Case("doc/examples/xpath2", ("document.xml", "//item", "new"))
