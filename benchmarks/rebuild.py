"""The differ against the truth: libxml2 built again with symbols.

Debian's source, flags and compiler give the shipped library back, byte for byte, so names and
object files of the rebuild hold for the stripped one. Asked of the differ: are matched functions
namesakes, did it miss a function that the compiler made other code of, and is every function that
the source changes touch accounted for?

Run: python benchmarks/rebuild.py [PAIRS]   (PAIRS: folder of Debian packages, or HOTMEND_PAIRS)
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hotmend.binary.elf import load
from hotmend.diff.differ import diff
from truth import libxml2_source, object_code, symbols


@dataclass(frozen=True)
class Report:
    """``wrong``: matched functions of different names. ``missed``: functions whose object code
    differs and that the differ takes for identical; ``spurious``: the other way round.
    ``touched``: source function -> what became of it."""

    differing_sections: tuple[str, ...]
    functions: tuple[int, int]
    right: int
    wrong: tuple[str, ...]
    added: tuple[str, ...]
    changed: int
    only_line_numbers: int
    missed: tuple[str, ...]
    spurious: tuple[str, ...]
    touched: dict[str, str]

    @property
    def holds(self) -> bool:
        return not (
            self.differing_sections
            or self.wrong
            or self.missed
            or self.spurious
            or any(fate.startswith("UNACCOUNTED") for fate in self.touched.values())
        )


@dataclass(frozen=True)
class Answer:
    """What the differ says, by old address. ``pairs``: old -> new address."""

    pairs: dict[int, int]
    changed: frozenset[int]
    only_line_numbers: frozenset[int]
    replaced: frozenset[int]


def ask(pairs: Path) -> Answer:
    """The differ's answer on the two shipped libraries."""
    versions = (libxml2_source.OLD, libxml2_source.FIXED)
    shipped = [libxml2_source.shipped(pairs, version) for version in versions]
    changes = diff(*(load(path.read_bytes(), path.name) for path in shipped))
    return Answer(
        pairs=changes.pairs,
        changed=frozenset(old.va for old, _ in changes.changed),
        only_line_numbers=frozenset(old for old, _ in changes.noise),
        replaced=frozenset(replacement.old.va for replacement in changes.replacements),
    )


def examine(pairs: Path, answer: Answer) -> Report:
    """Rebuild (once; minutes) and compare (seconds). Raises RuntimeError when a build fails."""
    versions = (libxml2_source.OLD, libxml2_source.FIXED)
    shipped = [libxml2_source.shipped(pairs, version) for version in versions]
    rebuilt = [libxml2_source.library(pairs, version) for version in versions]
    names = [symbols.function_names(library) for library in rebuilt]
    matched = [
        (names[0].get(old, hex(old)), names[1].get(new, hex(new)))
        for old, new in answer.pairs.items()
    ]
    changed, noise, replaced = (
        {names[0][va] for va in group}
        for group in (answer.changed, answer.only_line_numbers, answer.replaced)
    )
    code = [
        object_code.functions(libxml2_source.source(pairs, version).build / ".libs")
        for version in versions
    ]
    truth = {key for key in code[0].keys() & code[1].keys() if code[0][key] != code[1][key]}
    lines = {key for key in truth if code[0][key].same_but_for_line_numbers(code[1][key])}
    real = {_whole(name) for _, name in truth - lines}
    real_lines = {_whole(name) for _, name in lines} - real
    return Report(
        differing_sections=tuple(
            section
            for one, other in zip(shipped, rebuilt, strict=True)
            for section in symbols.differing_sections(one, other)
        ),
        functions=(len(code[0]), len(code[1])),
        right=sum(old == new for old, new in matched),
        wrong=tuple(f"{old} = {new}" for old, new in sorted(matched) if old != new),
        added=tuple(sorted(name for _, name in code[1].keys() - code[0].keys())),
        changed=len(changed),
        only_line_numbers=len(noise),
        missed=tuple(sorted((real - changed) | (real_lines - changed - noise))),
        spurious=tuple(sorted((changed | noise) - real - real_lines)),
        touched=_touched(pairs, rebuilt, names, replaced, real),
    )


def _touched(
    pairs: Path,
    rebuilt: list[Path],
    names: list[dict[int, str]],
    replaced: set[str],
    real: set[str],
) -> dict[str, str]:
    trees = [
        libxml2_source.source(pairs, version).tree
        for version in (libxml2_source.OLD, libxml2_source.FIXED)
    ]
    functions = symbols.touched(trees[0], trees[1], rebuilt[0], rebuilt[1])
    files = {file for file, _ in functions}
    old, new = (symbols.places(library, files) for library in rebuilt)
    nowhere = symbols.Place(frozenset(), frozenset())
    fates = {}
    for key in sorted(functions):
        before, after = old.get(key, nowhere), new.get(key, nowhere)
        if before == nowhere:
            fates[key[1]] = "new"
            continue
        own = {names[0][va] for va in before.own}
        hosts = {names[0][va] for va in before.hosts} | {names[1][va] for va in after.hosts}
        fates[key[1]] = _fate(own, hosts - own, replaced, real)
    return fates


def _fate(own: set[str], hosts: set[str], replaced: set[str], real: set[str]) -> str:
    if lost := (own | hosts) & real - replaced:
        return f"UNACCOUNTED: differs and is not replaced: {', '.join(sorted(lost))}"
    if own & replaced:
        return "replaced"
    if hosts & replaced:
        return f"inlined into replaced {', '.join(sorted(hosts & replaced))}"
    return "compiled to the same code"


def _whole(name: str) -> str:
    """A cold part belongs to its function."""
    return name.removesuffix(".cold")


def table(report: Report) -> str:
    """The report as Markdown."""
    fates = Counter(fate.split(" ")[0] for fate in report.touched.values())
    rows = [
        ("sections of the rebuilt libraries that differ from the shipped ones",
         ", ".join(report.differing_sections) or "0"),
        ("functions and cold parts with a symbol: old, fixed", "{}, {}".format(*report.functions)),
        ("matched functions (cold parts joined) with the same name", report.right),
        ("matched functions with different names (wrong)", len(report.wrong)),
        ("functions that only the fixed build has", len(report.added)),
        ("changed", report.changed),
        ("changed in line numbers only (left as they are)", report.only_line_numbers),
        ("object code differs, taken for identical (missed)", len(report.missed)),
        ("object code equal, taken for changed (spurious)", len(report.spurious)),
        ("functions that the source changes touch", len(report.touched)),
        ("… replaced", fates["replaced"]),
        ("… inlined into replaced functions", fates["inlined"]),
        ("… compiled to the same code", fates["compiled"]),
        ("… new", fates["new"]),
        ("… unaccounted for", fates["UNACCOUNTED:"]),
    ]  # fmt: skip
    lines = ["| libxml2 deb12u4 → deb12u6 | |", "|---|---|"]
    lines += [f"| {what} | {value} |" for what, value in rows]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print the table and everything that is not as it should be."""
    pairs = Path(arguments[0] if arguments else os.environ.get("HOTMEND_PAIRS", "../shared/pairs"))
    pairs = pairs.resolve()
    report = examine(pairs, ask(pairs))
    print(table(report))
    for what in ("differing_sections", "wrong", "missed", "spurious", "added"):
        for item in getattr(report, what):
            print(f"{what}: {item}", file=sys.stderr)
    for function, fate in report.touched.items():
        print(f"{function}: {fate}", file=sys.stderr)
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
