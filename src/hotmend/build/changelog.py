"""The package's own changelog says which advisories lie between two versions.

A line that names a CVE is not always a line that fixes it: it may amend or withdraw an earlier
fix, rename an upstreamed patch, correct a test or say that the package is not affected. Only
fixes count as advisories; the other mentions are kept, with what they were taken for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from debian.changelog import ChangeBlock, Changelog, ChangelogParseError
from debian.debian_support import Version

from hotmend.build.errors import BuildError


class Mention(StrEnum):
    """What an entry does with the advisory that it names."""

    FIXED = "fixed"
    FOLLOW_UP = "follow-up"  # changes an earlier fix; the flaw itself was gone before
    WITHDRAWN = "withdrawn"  # the fix is dropped again
    ASIDE = "aside"  # a test, a refreshed or upstreamed patch, "not affected"


@dataclass(frozen=True)
class Mentioned:
    """One id in one item. ``lines``: the item that names it, as paragraphs of one line each, the
    items it stands under first."""

    id: str
    mention: Mention
    version: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Advisory:
    """``id``: CVE-… or DSA-…. ``version``: the first one whose entry fixes it. ``lines``: what
    all entries in the span that fix it say. ``fixed_before``: an entry up to OLD's version names a
    fix too (this one adds to it)."""

    id: str
    version: str
    lines: tuple[str, ...]
    fixed_before: bool = False


@dataclass(frozen=True)
class ChangelogSpan:
    """The entries newer than OLD's version and not newer than NEW's.

    ``advisories``: oldest entry first, within an entry in the order of the text. ``others``: ids
    that are named but not fixed in the span. ``versions``: of the entries, oldest first.
    """

    advisories: tuple[Advisory, ...]
    others: tuple[Mentioned, ...]
    versions: tuple[str, ...]


def read_span(changelog: str, old_version: str, new_version: str) -> ChangelogSpan:
    """``changelog``: NEW's text. The versions are those of the *source* package.

    Raises BuildError: not a changelog, or a version that is none.
    """
    try:
        old, new = Version(old_version), Version(new_version)
        blocks = list(Changelog(changelog, strict=False))
        dated = [(Version(str(block.version)), block) for block in blocks]
    except (ChangelogParseError, ValueError, IndexError) as error:
        raise BuildError(f"the package's changelog cannot be read: {error}") from None
    dated.sort(key=lambda entry: entry[0])
    span = [block for version, block in dated if old < version <= new]
    before = {
        mentioned.id
        for version, block in dated
        if version <= old
        for mentioned in _mentions(block)
        if mentioned.mention is Mention.FIXED
    }
    return ChangelogSpan(
        *_decide([m for block in span for m in _mentions(block)], before),
        versions=tuple(str(block.version) for block in span),
    )


def _decide(
    mentions: list[Mentioned], before: set[str]
) -> tuple[tuple[Advisory, ...], tuple[Mentioned, ...]]:
    """Later entries overrule earlier ones; within one entry a fix outweighs an aside."""
    fixed: dict[str, Advisory] = {}
    others: dict[str, Mentioned] = {}
    for one in mentions:
        if one.mention is Mention.FIXED:
            others.pop(one.id, None)
            known = fixed.get(one.id) or Advisory(one.id, one.version, (), one.id in before)
            lines = tuple(dict.fromkeys(known.lines + one.lines))
            fixed[one.id] = Advisory(one.id, known.version, lines, known.fixed_before)
        elif one.mention is Mention.WITHDRAWN:
            fixed.pop(one.id, None)
            others[one.id] = one
        elif one.id not in fixed:
            others.setdefault(one.id, one)
    return tuple(fixed.values()), tuple(others.values())


# --- one entry -----------------------------------------------------------------------------------

# "CVE-2025-49794 and -49796", "CVE-2024-33601-33602": later numbers may lack the year.
_ID = re.compile(
    r"\b(?:(?P<cve>CVE)-(?P<year>\d{4})-(?P<number>\d{4,})"
    r"(?P<more>(?:(?:\s*(?:,|/|&|\band\b|\bor\b)\s*)*-\d{4,}\b)*)|(?P<dsa>DSA-\d{3,5}(?:-\d+)?))",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^(\s*)([*+-]|\d+[.)])\s+(.*)$")
_GLUE = re.compile(r"^[\s,/&()+_]*(?:and|or)?[\s,/&()+_]*$", re.IGNORECASE)
_PATCH_NAME = r"(?:debian/patches|d/patches|d/p|patches)/\S+|\S+\.(?:patch|diff)\b"


@dataclass(frozen=True)
class _Item:
    above: tuple[str, ...]
    text: str


def _mentions(block: ChangeBlock) -> Iterator[Mentioned]:
    for item in _items(str(line) for line in block.changes()):
        for sentence in _sentences(item.text):
            for ids, before, after in _groups(sentence):
                kind = _classify(before, after, item.above)
                for one in ids:
                    yield Mentioned(one, kind, str(block.version), (*item.above, item.text))


def _items(lines: Iterable[str]) -> Iterator[_Item]:
    """Bullets with their continuation lines joined, below the bullets they are indented under."""
    open_items: list[tuple[int, list[str]]] = []
    done: list[tuple[tuple[list[str], ...], list[str]]] = []
    for line in lines:
        bullet = _BULLET.match(line)
        if bullet:
            indent = len(bullet[1])
            open_items = [item for item in open_items if item[0] < indent]
            words = [bullet[3].strip()]
            done.append((tuple(above for _, above in open_items), words))
            open_items.append((indent, words))
        elif line.strip() and open_items:
            open_items[-1][1].append(line.strip())
        elif line.strip():
            done.append(((), [line.strip()]))
    for above, words in done:
        yield _Item(tuple(" ".join(part) for part in above), " ".join(words))


def _sentences(text: str) -> list[str]:
    """A full stop ends a sentence when a capital follows; file names keep their dots."""
    return [part for part in re.split(r"(?<=[.;])\s+(?=[A-Z(])", text) if part]


def _groups(sentence: str) -> Iterator[tuple[list[str], str, str]]:
    """Ids that are listed together, the text before them and the text up to the next group."""
    groups: list[tuple[list[str], int, int]] = []
    for match in _ID.finditer(sentence):
        ids = _expand(match)
        if groups and _GLUE.match(sentence[groups[-1][2] : match.start()]):
            groups[-1] = (groups[-1][0] + ids, groups[-1][1], match.end())
        else:
            groups.append((ids, match.start(), match.end()))
    for at, (ids, start, end) in enumerate(groups):
        begin = groups[at - 1][2] if at else 0
        stop = groups[at + 1][1] if at + 1 < len(groups) else len(sentence)
        yield ids, sentence[begin:start], sentence[end:stop]


def _expand(match: re.Match[str]) -> list[str]:
    if match["dsa"]:
        return [match["dsa"].upper()]
    numbers = [match["number"], *re.findall(r"\d{4,}", match["more"])]
    return [f"CVE-{match['year']}-{number}" for number in numbers]


# An instruction stands at the front of its sentence (after the name of a patch, if any): a
# description such as "premature reversion to HTTP" is not one.
_FRONT = rf"^(?:\[[^]]*\]\s*)?(?:(?:{_PATCH_NAME})\s*:?\s*)?(?:[Tt]emporarily\s+|[Aa]lso\s+)?"
_WITHDRAW = r"(?:revert|drop|remove|disable|withdraw|back(?:ed)? out)(?:s|p?ed|d)?\b"
_WITHDRAWN_BEFORE = re.compile(_FRONT + _WITHDRAW, re.IGNORECASE)
_WITHDRAWN_AFTER = re.compile(
    rf"^[^\s:,]*\s*(?:(?:patch(?:es)?|fix(?:es)?)\b)?[\s:,(]*(?:is|was|are|were|has been)?\s*"
    rf"(?:temporarily\s+)?{_WITHDRAW}",
    re.IGNORECASE,
)
_STILL_THERE = re.compile(
    r"upstream|merged|applied|included|integrated|supersede|replaced|obsolete|part of",
    re.IGNORECASE,
)
_NOT_AFFECTED = re.compile(
    r"\b(?:not|isn't|aren't|never)\s+(?:be\s+|been\s+)?(?:affected|vulnerable|applicable|impacted)"
    r"|\b(?:do|does|did)(?:\s+not|n't)\s+(?:affect|apply|impact)|\bunaffected\b|\bnot fixed\b"
    r"|\b(?:still|remains?)\s+(?:open|vulnerable|unfixed|affected)\b|\bpostponed?\b",
    re.IGNORECASE,
)
_ASIDE_BEFORE = re.compile(
    r"\btests?\s+(?:case\s+)?(?:for|of)\b|\brefresh|\bupstreamed\b|\brename|\btypo\b"
    r"|\b(?:update|fix|correct)\w*\s+(?:the\s+)?(?:comment|description|header|dep-?3|metadata)"
    r"|\bmention|\bchangelog\b|\bdocument",
    re.IGNORECASE,
)
_ASIDE_AFTER = re.compile(
    r"^\S*\s*:?\s*(?:patch(?:es)?\s*:?\s*)?(?:refresh|upstreamed|rename|update header|typo)",
    re.IGNORECASE,
)
_FOLLOW_UP_BEFORE = re.compile(
    r"\bregressions?\b|\bamend|\brework|\bfollow-?\s?up\b", re.IGNORECASE
)
_FOLLOW_UP_AFTER = re.compile(r"^\S*regression|^\s*regressions?\b", re.IGNORECASE)


def _classify(before: str, after: str, above: tuple[str, ...]) -> Mention:
    front = before
    # "Drop, no longer wanted:" speaks for the items below it; other headings say nothing.
    heading = next((text for text in reversed(above) if text.endswith(":")), "")
    if _NOT_AFFECTED.search(before) or _NOT_AFFECTED.search(after):
        return Mention.ASIDE
    withdrawn = (
        _WITHDRAWN_BEFORE.search(front)
        or _WITHDRAWN_AFTER.search(after)
        or (_WITHDRAWN_BEFORE.search(heading) and not _ID.search(heading))
    )
    if withdrawn:
        everything = f"{heading} {before} {after}"
        return Mention.ASIDE if _STILL_THERE.search(everything) else Mention.WITHDRAWN
    if _ASIDE_BEFORE.search(front) or _ASIDE_AFTER.search(after) or _ASIDE_BEFORE.search(heading):
        return Mention.ASIDE
    if _FOLLOW_UP_BEFORE.search(front) or _FOLLOW_UP_AFTER.search(after):
        return Mention.FOLLOW_UP
    return Mention.FIXED
