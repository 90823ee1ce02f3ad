"""What needs two persons."""

from __future__ import annotations

import uuid

import pytest

from hotmend.server.errors import ServerError
from hotmend.server.identity import approvals
from hotmend.server.identity.approvals import Approval
from server.conftest import Plane


def asked(plane: Plane, by: str = "ann") -> Approval:
    subject = str(uuid.uuid4())
    return plane.control.database.write(
        lambda c: approvals.ask(c, "override a halt", subject, by, 1000.0)
    )


def approve(plane: Plane, identifier: str, by: str, now: float = 1001.0) -> Approval:
    return plane.control.database.write(lambda c: approvals.approve(c, identifier, by, now))


def approved(plane: Plane, one: Approval, now: float = 1002.0) -> bool:
    with plane.control.database.reading() as connection:
        return approvals.approved(connection, one.what, one.subject, now)


def test_two_agree(plane: Plane) -> None:
    one = asked(plane)
    assert not approved(plane, one)
    assert approve(plane, one.id, "bob").approved_by == "bob"
    assert approved(plane, one)
    assert not approved(plane, asked(plane)), "it is for this subject alone"


def test_nobody_approves_their_own(plane: Plane) -> None:
    one = asked(plane)
    with pytest.raises(ServerError, match="second person"):
        approve(plane, one.id, "ann")
    assert not approved(plane, one)
    approve(plane, one.id, "bob")


def test_once_and_within_a_day(plane: Plane) -> None:
    one = asked(plane)
    approve(plane, one.id, "bob")
    with pytest.raises(ServerError, match="nothing is waiting"):
        approve(plane, one.id, "cal")
    late = asked(plane)
    with pytest.raises(ServerError, match="too old"):
        approve(plane, late.id, "bob", 1000.0 + approvals.LIFE_S)
    assert not approved(plane, one, 1000.0 + approvals.LIFE_S)
    with pytest.raises(ServerError, match="not known"):
        approve(plane, "nothing", "bob")
