"""The narrow list of machines is what the wide rows say, and time brings it up to date, too."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, text, update

from hotmend.model.agent_messages import AvailablePatch
from hotmend.server.arm import listing
from hotmend.server.storage import compliance, inventory
from hotmend.server.storage.compliance import FRESH_S, HEARD_S, State
from hotmend.server.storage.inventory import KINDS, Updates, Wanted
from hotmend.server.storage.tables import compliance as found
from hotmend.server.storage.tables import listing as table
from hotmend.server.storage.tables import machines, missing, resources
from portal import fleet
from server.conftest import Plane, new_database, serving
from server.machine import PATCH, enrolled

ALL = ["/"]
COUNT = 400


@pytest.fixture(scope="module")
def filled(
    database_url: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Plane]:
    url = new_database(request.getfixturevalue("cluster")) if database_url else ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "EVERY_S", 86_400.0)  # the tests look, nobody else
        with serving(tmp_path_factory.mktemp("listing"), url) as plane:
            now = plane.clock()
            plane.control.database.write(lambda c: fleet.fill(c, plane.subscription, COUNT, now))
            yield plane


def test_every_filter_finds_what_a_look_at_every_machine_finds(filled: Plane) -> None:
    now = filled.clock()
    with filled.control.database.reading() as connection:
        every = inventory.page(connection, ALL, Wanted(), now, COUNT + 1)
        misses = set(
            connection.execute(
                select(missing.c.machine).where(missing.c.article == fleet.EXPAT)
            ).scalars()
        )
        hotpatch = {row.key: row.hotpatch for row in connection.execute(select(table))}
        assert len(every) == COUNT
        for wanted, holds in (
            (Wanted(search="shop3"), lambda m: m.group == "shop3"),
            (Wanted(search="DB-0000"), lambda m: m.name.startswith("db-0000")),
            (Wanted(kind=KINDS[1]), lambda m: m.kind == KINDS[1]),
            (Wanted(region="eastasia"), lambda m: m.body["location"] == "eastasia"),
            (Wanted(state="restart"), lambda m: m.state == "restart"),
            (Wanted(state="unknown"), lambda m: m.state == "unknown"),
            (Wanted(updates="reboot"), lambda m: m.updates == "reboot"),
            (Wanted(os="debian"), lambda m: m.facts is not None),
            (Wanted(hotpatch="Enabled"), lambda m: hotpatch[m.key] == "Enabled"),
            (Wanted(missing=fleet.EXPAT), lambda m: m.id in misses),
        ):
            expected = [m.key for m in every if holds(m)]
            assert 0 < len(expected) < COUNT, wanted
            rows = inventory.page(connection, ALL, wanted, now, COUNT)
            assert [m.key for m in rows] == expected, wanted
            counts = inventory.summary(connection, ALL, wanted).counts
            if not wanted.updates:
                assert sum(counts.values()) == len(expected), wanted


def test_places_are_of_all_machines_with_an_agent(filled: Plane) -> None:
    now = filled.clock()
    with filled.control.database.reading() as connection:
        every = inventory.page(connection, ALL, Wanted(), now, COUNT + 1)
        for wanted in (Wanted(), Wanted(region="eastasia"), Wanted(missing=fleet.EXPAT)):
            places = inventory.summary(connection, ALL, wanted).places
            there = [m for m in every if m.id is not None]
            assert sum(sum(states.values()) for *_, states in places) == len(there) < COUNT
            assert {region for region, *_ in places} == {m.body["location"] for m in there}
            assert places == sorted(places, key=lambda place: place[:2])


def test_a_search_is_planned_for_its_word(filled: Plane) -> None:
    """PostgreSQL's plan for all words is to look at each machine in the order of the keys."""
    database = filled.control.database

    def plans(connection: Connection) -> tuple[int, int]:
        if connection.dialect.name == "sqlite":
            pytest.skip("it plans once, and has one plan")
        for _ in range(20):
            inventory.page(connection, ALL, Wanted(search="nothing"), 0.0, 51)
        kept = "SELECT sum(generic_plans), sum(custom_plans) FROM pg_prepared_statements"
        return tuple(connection.execute(text(f"{kept} WHERE statement LIKE '%words%'")).one())

    with database.reading() as connection:
        generic, custom = plans(connection)
        assert not generic and custom
        connection.execute(text("SET LOCAL plan_cache_mode = auto"))
        generic, _ = plans(connection)
        assert generic, "the control: a connection that is left to itself"


def test_numbers_are_those_of_the_rows(filled: Plane) -> None:
    """Against the definition, over the wide tables."""
    now = filled.clock()
    listing.catch_up(filled.control)
    known = compliance.known(now)
    joined = machines.outerjoin(found, found.c.machine == machines.c.id)
    with filled.control.database.reading() as connection:
        numbers = compliance.numbers(connection, inventory.within(ALL))
        old = select(func.sum(found.c.waiting + found.c.restart)).select_from(joined).where(known)
        assert numbers.vulnerable == connection.execute(old).scalar_one()
        for state in State:
            there = select(func.count()).select_from(joined)
            there = there.where(compliance.state(now) == state.value)
            assert numbers.machines[state] == connection.execute(there).scalar_one()
        counts = inventory.summary(connection, ALL, Wanted()).counts
        assert sum(counts.values()) == COUNT
        assert numbers.updates == {one.value: number for one, number in counts.items() if number}
        one = f"/subscriptions/{filled.subscription}/resourceGroups/shop2"
        part = inventory.summary(connection, [one], Wanted()).counts
        assert sum(part.values()) == sum(number % 7 == 2 for number in range(COUNT))


@pytest.mark.parametrize("column", ["seen", "assessed"])
def test_what_time_changes_is_listed_at_the_next_look(filled: Plane, column: str) -> None:
    control, now = filled.control, filled.clock()
    listing.catch_up(control)

    def live() -> list[str]:
        with control.database.reading() as connection:
            rows = connection.execute(select(table.c.key).where(table.c.state == "live"))
            return sorted(rows.scalars())

    key = live()[0]
    at = select(machines.c.id).where(machines.c.resource == key).scalar_subquery()
    change = {
        "seen": update(machines).where(machines.c.id == at).values(seen=now - HEARD_S - 1),
        "assessed": update(found).where(found.c.machine == at).values(assessed=now - FRESH_S - 1),
    }[column]
    control.database.write(lambda c: c.execute(change))
    assert key in live(), "nobody has looked yet"
    listing.catch_up(control)
    assert key not in live()
    with control.database.reading() as connection:
        assert not inventory.passed_by(connection, now), "one look is enough"


def test_a_machine_is_listed_from_its_first_word_to_its_removal(
    filled: Plane, tmp_path: Path
) -> None:
    def status() -> str | None:
        with filled.control.database.reading() as connection:
            rows = connection.execute(
                select(table.c.updates, table.c.words).where(table.c.machine == machine.identifier)
            ).all()
        return rows[0].updates if rows else None

    machine = enrolled(filled, "fresh", tmp_path)
    assert status() == Updates.NO_DATA
    run = machine.assessed("00000000-0000-4000-8000-000000000001", PATCH)
    assert machine.report(run).accepted
    assert status() == Updates.AVAILABLE
    path = "resourceGroups/fleet/providers/Microsoft.Compute/virtualMachines/fresh"
    assert filled.call("DELETE", path).status == 200
    assert status() is None


def test_who_found_nothing_and_could_not_read_all_releases_is_unknown(
    filled: Plane, tmp_path: Path
) -> None:
    machine = enrolled(filled, "blind", tmp_path)

    def stands(unread: tuple[str, ...], *patches: AvailablePatch) -> tuple[str, str]:
        run = machine.assessed(str(uuid.uuid4()), *patches)
        assert run.assessment is not None
        seen = replace(run.assessment, unread=unread)
        assert machine.report(replace(run, assessment=seen)).accepted
        columns = select(table.c.state, table.c.updates)
        with filled.control.database.reading() as connection:
            rows = connection.execute(columns.where(table.c.machine == machine.identifier))
            return tuple(rows.one())

    assert stands(()) == ("live", "none")
    assert stands(("11.json",)) == ("unknown", "nodata")
    outdated = replace(PATCH, outdated=(7,))
    assert stands(("11.json",), outdated) == ("waiting", "available"), "what it found, it found"
    assert stands((), outdated) == ("waiting", "available")
    assert stands(()) == ("live", "none")


def test_a_row_that_is_lost_comes_back(filled: Plane) -> None:
    """And a group or a network is no machine."""
    control = filled.control
    with control.database.reading() as connection:
        before = connection.execute(select(table).order_by(table.c.key)).all()
    control.database.write(lambda c: inventory.forget(c, [before[0].key]))
    listing.catch_up(control)
    with control.database.reading() as connection:
        after = connection.execute(select(table).order_by(table.c.key)).all()
        kinds = select(resources.c.key).where(resources.c.type.in_(KINDS))
        assert len(after) == len(connection.execute(kinds).all())
    assert after == before
