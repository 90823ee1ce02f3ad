from __future__ import annotations

import pytest

from hotmend.binary.deb import load_bundle
from hotmend.build.changelog import ChangelogSpan, Mention, read_span
from hotmend.build.errors import BuildError
from real_packages import CURL, EXPAT, HAPROXY, LIBC, NGINX, SSL_17_20, SSL_20_22, XML2, real


def real_span(names: tuple[str, str]) -> ChangelogSpan:
    old, new = load_bundle(real(names[0])), load_bundle(real(names[1]))
    assert new.changelog is not None
    return read_span(new.changelog, old.source_version, new.source_version)


def changelog(*entries: str) -> str:
    """Oldest entry first; versions count from 1.0-1."""
    blocks = []
    for number, entry in enumerate(entries, 1):
        lines = "\n".join(f"  {line}" if line else "" for line in entry.splitlines())
        blocks.insert(
            0,
            f"thing (1.0-{number}) stable; urgency=high\n\n{lines}\n\n"
            " -- N <n@example.org>  Mon, 01 Jan 2024 00:00:00 +0000\n",
        )
    return "\n".join(blocks)


def fixed(*entries: str) -> list[str]:
    """Ids fixed after the first entry."""
    span = read_span(changelog("* Old.", *entries), "1.0-1", f"1.0-{len(entries) + 1}")
    return [advisory.id for advisory in span.advisories]


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (XML2, 6),
        (NGINX, 14),
        (CURL, 14),
        (EXPAT, 27),
        (LIBC, 9),
        (HAPROXY, 1),
        (SSL_17_20, 25),
        (SSL_20_22, 12),
    ],
)
def test_the_advisories_of_every_real_pair_are_as_counted_by_hand(
    names: tuple[str, str], count: int
) -> None:
    span = real_span(names)
    assert len(span.advisories) == len({advisory.id for advisory in span.advisories}) == count


def test_libxml2s_advisories_come_in_order_with_version_and_line() -> None:
    first, second, *rest = real_span(XML2).advisories
    assert (first.id, first.version) == ("CVE-2025-9714", "2.9.14+dfsg-1.3~deb12u5")
    assert first.lines[-1].startswith("Fix CVE-2025-9714: Denial of service")
    assert (second.id, second.version) == ("CVE-2026-0989", "2.9.14+dfsg-1.3~deb12u6")
    assert [a.id for a in rest] == [
        "CVE-2026-0990",
        "CVE-2026-0992",
        "CVE-2025-8732",
        "CVE-2026-1757",
    ]


def test_amended_patches_and_repaired_tests_are_no_advisories_of_libxml2() -> None:
    others = {one.id: one.mention for one in real_span(XML2).others}
    assert others == {
        "CVE-2025-7425": Mention.FOLLOW_UP,
        "CVE-2025-49794": Mention.ASIDE,
        "CVE-2025-49796": Mention.ASIDE,
    }


def test_patches_that_glibc_only_calls_upstreamed_are_no_advisories() -> None:
    others = {one.id: one.mention for one in real_span(LIBC).others}
    assert set(others) == {"CVE-2024-2961"} | {f"CVE-2024-{n}" for n in range(33599, 33603)}
    assert set(others.values()) == {Mention.ASIDE}


def test_a_repaired_regression_of_an_old_fix_is_no_advisory_of_curl() -> None:
    assert [(o.id, o.mention) for o in real_span(CURL).others] == [
        ("CVE-2023-27534", Mention.FOLLOW_UP)
    ]


def test_only_entries_after_old_and_up_to_new_count() -> None:
    text = changelog("* CVE-2020-0001", "* CVE-2020-0002", "* CVE-2020-0003", "* CVE-2020-0004")
    span = read_span(text, "1.0-1", "1.0-3")
    assert [a.id for a in span.advisories] == ["CVE-2020-0002", "CVE-2020-0003"]
    assert span.versions == ("1.0-2", "1.0-3")


def test_versions_are_ordered_as_debian_orders_them() -> None:
    text = changelog("* Old.", "* CVE-2020-0001").replace("1.0-1", "1.0~rc1-9")
    assert [a.id for a in read_span(text, "1.0~rc1-9", "1.0-2").advisories] == ["CVE-2020-0001"]
    assert read_span(text, "1.0-2", "1.0-2").advisories == ()


def test_an_id_named_twice_is_one_advisory_with_both_lines() -> None:
    span = read_span(
        changelog("* Old.", "* Fix CVE-2020-0001", "* More of CVE-2020-0001"), "1.0-1", "1.0-3"
    )
    (one,) = span.advisories
    assert one.version == "1.0-2"
    assert one.lines == ("Fix CVE-2020-0001", "More of CVE-2020-0001")


def test_an_advisory_that_was_fixed_before_too_says_so() -> None:
    text = changelog("* Fix CVE-2020-0001", "* Harden against CVE-2020-0001 and CVE-2020-0002")
    assert [(a.id, a.fixed_before) for a in read_span(text, "1.0-1", "1.0-2").advisories] == [
        ("CVE-2020-0001", True),
        ("CVE-2020-0002", False),
    ]


def test_a_dsa_is_an_advisory_too_and_short_forms_are_expanded() -> None:
    assert fixed("* DSA-5678-1: fix CVE-2020-0001, -0002 and -0003") == [
        "DSA-5678-1",
        "CVE-2020-0001",
        "CVE-2020-0002",
        "CVE-2020-0003",
    ]
    assert fixed("* Add cve-2020-0001-2.patch") == ["CVE-2020-0001"]


@pytest.mark.parametrize(
    "entry",
    [
        "* CVE-2020-0001 (Closes: #1)",
        "* d/p/CVE-2020-0001.patch: add, drops privileges earlier.",
        "* Fix dropped packets (CVE-2020-0001).",
        "* Security fixes:\n  + Reverting a transaction could crash (CVE-2020-0001)",
        "* CVE-2020-0001: servers were affected by a crash when a client is removed.",
        "* CVE-2020-0001: unintended upgrades or premature reversion to HTTP.",
        "* CVE-2020-0001: incomplete fix of another flaw.",
        "* Import upstream fix for CVE-2020-0001, closes: #123.",
    ],
)
def test_these_are_fixes(entry: str) -> None:
    assert fixed(entry) == ["CVE-2020-0001"]


@pytest.mark.parametrize(
    ("entry", "mention"),
    [
        ("* CVE-2020-0001: this version is not affected.", Mention.ASIDE),
        ("* CVE-2020-0001 does not affect bookworm.", Mention.ASIDE),
        ("* Note: CVE-2020-0001 remains unfixed.", Mention.ASIDE),
        ("* d/p/CVE-2020-0001.patch: refresh.", Mention.ASIDE),
        ("* Drop CVE-2020-0001.patch, applied upstream.", Mention.ASIDE),
        ("* Drop patches applied upstream:\n  - CVE-2020-0001.patch", Mention.ASIDE),
        ("* Fix the test for CVE-2020-0001.", Mention.ASIDE),
        ("* Fix a regression of the fix for CVE-2020-0001.", Mention.FOLLOW_UP),
        ("* Revert the fix for CVE-2020-0001.", Mention.WITHDRAWN),
        ("* d/p/CVE-2020-0001.patch: drop, breaks everything.", Mention.WITHDRAWN),
        ("* Disable CVE-2020-0001.patch.", Mention.WITHDRAWN),
        ("* Drop these, they break clients:\n  - CVE-2020-0001.patch", Mention.WITHDRAWN),
    ],
)
def test_these_are_not_fixes(entry: str, mention: Mention) -> None:
    span = read_span(changelog("* Old.", entry), "1.0-1", "1.0-2")
    assert span.advisories == ()
    assert [(one.id, one.mention) for one in span.others] == [("CVE-2020-0001", mention)]


def test_a_fix_that_is_dropped_later_in_the_span_is_gone() -> None:
    fix, drop = "* Fix CVE-2020-0001.\n* Fix CVE-2020-0002.", "* Revert CVE-2020-0001.patch."
    assert fixed(fix) == ["CVE-2020-0001", "CVE-2020-0002"]
    assert fixed(fix, drop) == ["CVE-2020-0002"]


def test_a_dropped_fix_that_comes_back_counts_again() -> None:
    fix, drop = "* Fix CVE-2020-0001.", "* Drop CVE-2020-0001.patch: it crashes."
    assert fixed(fix, drop, "* Fix CVE-2020-0001 properly.") == ["CVE-2020-0001"]


def test_what_is_no_changelog_is_said_so() -> None:
    assert read_span("", "1.0-1", "1.0-2").advisories == ()
    with pytest.raises(BuildError, match="cannot be read"):
        read_span(changelog("* Old."), "1.0-1", "not a version !")
