"""Generated fleets for the tests of admission, and an independent look at what was admitted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from hotmend.fleet.admission import Candidate, Facts, Holding
from hotmend.fleet.place import Place

# Two pairs, a lonely region, and three that are bound by a pair that is not mutual.
PAIRS = {"east": "west", "west": "east", "north": "south", "isle": "north"}
ISLANDS = {"east": 1, "west": 1, "north": 2, "south": 2, "isle": 2}
REGIONS = ("east", "west", "north", "south", "isle", "alone")


@dataclass(frozen=True)
class Question:
    candidates: tuple[Candidate, ...]
    facts: Facts


@st.composite
def places(draw: st.DrawFn) -> Place:
    region = draw(st.sampled_from(REGIONS))
    if draw(st.booleans()):
        group = draw(st.integers(0, 2))
        return Place(region, "", f"set-{region}-{group}", draw(st.integers(0, 3)))
    zone = draw(st.sampled_from(("", "1", "2", "3")))
    return Place(region, zone, f"loose:s/{region}/{zone}", 0)


@st.composite
def questions(draw: st.DrawFn, *, quiet: bool = False) -> Question:
    """``quiet``: nothing holds anywhere, and the rollout may have something in flight."""
    machines = [f"m{i:02}" for i in range(draw(st.integers(1, 24)))]
    where = {m: draw(places()) for m in machines}
    strangers = Counter(where[m].group for m in machines)
    sizes = {g: n + draw(st.integers(0, 15)) for g, n in strangers.items()}
    candidates = [
        Candidate(m, draw(st.integers(0, 2)), where[m]) for m in machines if draw(st.booleans())
    ]
    holdings = []
    for m in machines if not quiet else ():
        if draw(st.integers(0, 3)) == 0:
            same, flying = draw(st.booleans()), draw(st.booleans())
            holdings.append(Holding(m, where[m], same, flying))
    most = draw(st.integers(1 if quiet else 0, 12))
    return Question(tuple(candidates), Facts(holdings, sizes, PAIRS, most))


def sane(facts: Facts) -> bool:
    """Whether what holds could have come about by the rules: no group has two domains away, no
    region two zones in flight, no regions that are bound together both."""
    domains, zones, bound = defaultdict(set), defaultdict(set), defaultdict(set)
    for h in facts.holdings:
        domains[h.place.group].add(h.place.domain)
        if h.same and h.in_flight:
            bound[ISLANDS.get(h.place.region, h.place.region)].add(h.place.region)
            if h.place.zone:
                zones[h.place.region].add(h.place.zone)
    return all(len(kinds) <= 1 for each in (domains, zones, bound) for kinds in each.values())


def violations(question: Question, start: Sequence[Candidate]) -> set[str]:
    """What is wrong with starting these, by the words of the rules and none of their code. It asks
    only whether a start makes things worse: what was wrong before is not admission's."""
    facts = question.facts
    wrong = set()
    flying = [h.place for h in facts.holdings if h.same and h.in_flight]
    started = [c.place for c in start]
    if {c.machine for c in start} & {h.machine for h in facts.holdings}:
        wrong.add("holds")
    groups: dict[str, list[Place]] = defaultdict(list)
    for place in started:
        groups[place.group].append(place)
    for group, new in groups.items():
        held = [h.place for h in facts.holdings if h.place.group == group]
        size = facts.sizes[group]
        if len(held) + len(new) > (size // 5 if size >= 10 else 1):
            wrong.add("budget")
        if len({p.domain for p in new}) > 1 or (
            held and {p.domain for p in new} - {p.domain for p in held}
        ):
            wrong.add("domain")
    if _both(started, started + flying, facts.pairs):
        wrong.add("pair")
    zones: Mapping[str, set[str]] = defaultdict(set)
    for place in started:
        if place.zone:
            zones[place.region].add(place.zone)
    for region, new_zones in zones.items():
        flown = {p.zone for p in flying if p.region == region and p.zone}
        if len(new_zones) > 1 or (flown and new_zones - flown):
            wrong.add("zone")
    if start and len(start) + len(flying) > facts.most:
        wrong.add("most")
    return wrong


def _both(started: Sequence[Place], away: Sequence[Place], pairs: Mapping[str, str]) -> bool:
    """Whether a machine starts while one of a paired region is away; regions that were wrongly
    away together before do not count against a start in one of them."""
    regions = {p.region for p in away}
    before = {p.region for p in away[len(started) :]}
    for one, other in pairs.items():
        new = {p.region for p in started}
        if {one, other} <= regions and new & {one, other} and not {one, other} <= before:
            return True
        if {one, other} <= new:
            return True
    return False
