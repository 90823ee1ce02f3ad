"""What a dynamic scope finds in SQL is what it finds by a look at every machine."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from hotmend.fleet.dynamic_scope import MOST_MACHINES, RESOURCE_TYPES, Candidate, Filter, selected
from hotmend.server.arm import machine_support, scope_filter
from hotmend.server.storage import machines as machine_rows
from hotmend.server.storage import resources, scopes
from hotmend.server.storage.tables import machines
from hotmend.server.storage.tables import resources as table
from portal import fleet
from server.conftest import Plane, new_database, serving

COUNT = 400
NAMES = ("env", "ENV", "ring", "Größe", "a%b_c", 'say "hi"')
VALUES = ("prod", "Prod", "test", "groß", "100%", "a_c", 'b\\"c', "", "eastasia")
KINDS = ("Microsoft.Compute/virtualMachines", machine_support.CONNECTED)


@pytest.fixture(scope="module")
def filled(
    database_url: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Plane]:
    url = new_database(request.getfixturevalue("cluster")) if database_url else ""
    with serving(tmp_path_factory.mktemp("scopes"), url) as plane:

        def work(connection: Connection) -> None:
            fleet.fill(connection, plane.subscription, COUNT, plane.clock())
            _vary(connection, random.Random(5))

        plane.control.database.write(work)
        yield plane


def _vary(connection: Connection, some: random.Random) -> None:
    """Tags of all kinds, machines with Windows, and what owners say of those without an agent."""
    for row in connection.execute(select(table).where(table.c.type.in_(RESOURCE_TYPES))).all():
        body: dict[str, Any] = row.body
        body["tags"] = {n: some.choice(VALUES) for n in NAMES if some.random() < 0.4} or None
        body["properties"]["osType"] = some.choice(("Windows", "linux", ""))
        if some.random() < 0.2:
            body["properties"]["osProfile"]["windowsConfiguration"] = {"provisionVMAgent": True}
        connection.execute(update(table).where(table.c.key == row.key).values(body=body))
    for row in connection.execute(select(machines)).all():
        if some.random() < 0.3:
            facts = {**row.facts, "os_name": some.choice(("windows server", "WINDOWS", "Debian"))}
            connection.execute(update(machines).where(machines.c.id == row.id).values(facts=facts))


def _every(connection: Connection, subscription: str) -> list[Candidate]:
    """The definition: every machine, read whole."""
    agents = machine_rows.of_resources(connection)
    found = []
    for kind in KINDS:
        for one in resources.listed(connection, subscription, kind):
            agent = agents.get(one.id.key)
            system = machine_support.stated_os(kind, one.body)
            if agent is not None:
                system = machine_support.os_type(agent.facts)
            location, tags = str(one.body["location"]), one.body.get("tags") or {}
            found.append(Candidate(str(one.id), kind, one.id.group, location, system, tags))
    return found


def _filter(some: random.Random) -> Filter:
    def few(words: tuple[str, ...], share: float) -> tuple[str, ...]:
        return tuple(some.sample(words, some.randint(1, 2))) if some.random() < share else ()

    tags = [(some.choice(NAMES), tuple(some.sample(VALUES, some.randint(0, 3)))) for _ in "12"]
    return Filter(
        some.choice(("", "", "Shop3", "shop_")),
        few((*KINDS, "microsoft.compute/VIRTUALMACHINES"), 0.3),
        few(("shop1", "SHOP3", "shop4", "none"), 0.3),
        few(("eastasia", "westus", "mars"), 0.4),
        few(("Windows", "linux"), 0.4),
        tuple(tags[: some.randint(0, 2)]),
        some.random() < 0.5,
    )


def test_a_filter_finds_what_a_look_at_every_machine_finds(
    filled: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = random.Random(11)
    with filled.control.database.reading() as connection:
        every = _every(connection, filled.subscription)
        assert len(every) == COUNT
        parts = 0
        for _ in range(150):
            monkeypatch.setattr(scopes, "_AT_ONCE", some.choice((7, 1000)))
            wanted = _filter(some)
            found = scope_filter.found(connection, filled.subscription, wanted)
            assert found == selected(every, wanted), wanted
            parts += 0 < len(found) < COUNT
    assert parts > 50, "filters that tell machines apart"


def test_sql_leaves_only_what_it_cannot_say(filled: Plane) -> None:
    """Machines without an agent, whatever they run, and values that stand elsewhere, too."""
    with filled.control.database.reading() as connection:

        def near(wanted: Filter) -> int:
            return len(list(scopes.near(connection, filled.subscription, wanted)))

        every = _every(connection, filled.subscription)
        for wanted in (
            Filter("shop3"),
            Filter(groups=("shop1", "shop4")),
            Filter(types=(KINDS[1],)),
            Filter(locations=("eastasia",)),
            Filter(tags=(("env", ("prod",)), ("ring", ("100%",)))),
        ):
            found = selected(every, wanted)
            assert len(found) <= near(wanted) < COUNT / 2, wanted
        windows = Filter(os_types=("windows",))
        assert near(windows) - len(selected(every, windows)) <= COUNT / 20
        assert near(Filter(tags=(("env", ()),))) == 0


def test_no_more_is_read_than_a_scope_may_have(
    filled: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 0
    near = scopes.near

    def counted(*words: Any) -> Iterator[scopes.Placed]:
        nonlocal taken
        for one in near(*words):
            taken += 1
            yield one

    monkeypatch.setattr(scope_filter.scopes, "near", counted)
    monkeypatch.setattr(scope_filter.dynamic_scope, "MOST_MACHINES", 9)
    with filled.control.database.reading() as connection:
        found = scope_filter.found(connection, filled.subscription, Filter())
        assert taken == len(found) == 9 < MOST_MACHINES
        assert [one.id for one in found] == sorted(one.id for one in found)
