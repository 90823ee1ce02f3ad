"""The machines' end: enrolment and its abuse, messages that are late, repeated, or another's."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from sqlalchemy import select

from hotmend.agent.errors import LinkError, RefusedByServer
from hotmend.agent.identity import new_request
from hotmend.agent.link import HttpsLink
from hotmend.model.agent_messages import (
    Drift,
    Ended,
    Ending,
    Enrol,
    Health,
    Order,
    ProbeResult,
    Renew,
    Reported,
    RunKind,
)
from hotmend.server import certificates
from hotmend.server.agents import routes as agent_routes
from hotmend.server.storage import runs, tables
from server.conftest import Plane
from server.machine import FACTS, PATCH, Machine, code_for, enrolled

# Of a full run; half of them on each database.
_MESSAGES = 5_000 if os.environ.get("HOTMEND_FULL") else 500
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])


@pytest.fixture
def machine(plane: Plane, tmp_path: Path) -> Machine:
    return enrolled(plane, f"m{uuid.uuid4().hex[:8]}", tmp_path)


def everything(plane: Plane) -> list[object]:
    """All that a message could change, but when a machine was last heard."""
    with plane.control.database.reading() as connection:
        found: list[object] = list(
            connection.execute(select(tables.runs).order_by(tables.runs.c.id))
        )
        columns = [c for c in tables.machines.c if c.name != "seen"]
        found += list(connection.execute(select(*columns).order_by(tables.machines.c.id)))
        found += list(connection.execute(select(tables.health)))
        found += list(connection.execute(select(tables.audit)))
    return found


# Enrolment.


def request(key: object, names: list[x509.GeneralName] | None = None, *, ca: bool = False) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(NAME)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if ca:
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    signed = builder.sign(key, algorithm)  # type: ignore[arg-type]
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def enrol(plane: Plane, code: str, csr: str) -> x509.Certificate:
    link = HttpsLink(plane.base, plane.authority, None)
    answer = link.enrol(Enrol(code, csr, FACTS))
    return x509.load_pem_x509_certificate(answer.certificate.encode())


def good() -> str:
    return request(ec.generate_private_key(ec.SECP256R1()))


def test_a_certificate_says_the_machine_and_no_more(plane: Plane) -> None:
    """Whatever the request asks for: other names, to be an authority."""
    foreign = [
        x509.UniformResourceIdentifier("urn:hotmend:machine:someone-else"),
        x509.DNSName("localhost"),
    ]
    wish = request(ec.generate_private_key(ec.SECP256R1()), foreign, ca=True)
    made = enrol(plane, code_for(plane, "wish"), wish)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uri.startswith("urn:hotmend:machine:") and "someone-else" not in uri
    assert names.get_values_for_type(x509.DNSName) == []
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    life = made.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(hours=23) < life <= timedelta(hours=24)


def test_a_code_is_good_once(plane: Plane) -> None:
    code = code_for(plane, "once")
    enrol(plane, code, good())
    with pytest.raises(RefusedByServer, match="was used"):
        enrol(plane, code, good())


def test_a_code_is_good_for_an_hour(plane: Plane) -> None:
    code = code_for(plane, "late")
    plane.clock.ahead += 3601
    try:
        with pytest.raises(RefusedByServer, match="too old"):
            enrol(plane, code, good())
    finally:
        plane.clock.ahead -= 3601
    enrol(plane, code, good())


@pytest.mark.parametrize(
    ("csr", "why"),
    [
        (lambda: request(rsa.generate_private_key(65537, 1024)), "1024 bits"),
        (lambda: request(ec.generate_private_key(ec.SECP192R1())), "192 bits"),
        (lambda: request(ed25519.Ed25519PrivateKey.generate()), "neither RSA nor"),
        (lambda: "not a request", "is none"),
        (lambda: good()[:200], "is none"),
    ],
)
def test_a_bad_request_costs_no_code(plane: Plane, csr: object, why: str) -> None:
    code = code_for(plane, "weak")
    before = everything(plane)
    with pytest.raises(RefusedByServer, match=why):
        enrol(plane, code, csr())  # type: ignore[operator]
    assert everything(plane) == before
    enrol(plane, code, good())


def test_a_request_that_its_key_did_not_sign(plane: Plane) -> None:
    code = code_for(plane, "forged")
    parsed = x509.load_pem_x509_csr(good().encode())
    data = bytearray(parsed.public_bytes(serialization.Encoding.DER))
    data[-1] ^= 1
    with pytest.raises(RefusedByServer):
        forged = x509.load_der_x509_csr(bytes(data)).public_bytes(serialization.Encoding.PEM)
        enrol(plane, code, forged.decode())
    enrol(plane, code, good())


def test_codes_cannot_be_tried_out(plane: Plane) -> None:
    """After thirty tries in a minute an address has to wait, with a right code, too: while the
    minute of the clock on the wall ends, and as slow as this machine may be."""
    code = code_for(plane, "brute")
    plane.clock.stands = (time.time() // 60 + 3) * 60 - 1  # the clock on the wall will turn
    try:
        answers = []
        for number in range(40):
            try:
                enrol(plane, f"guess-{number}", good())
            except RefusedByServer:
                answers.append("no")
            except LinkError as error:
                assert "429" in str(error)
                answers.append("wait")
        assert answers == ["no"] * 30 + ["wait"] * 10
        plane.clock.stands += 59
        with pytest.raises(LinkError, match="429"):
            enrol(plane, code, good())
        plane.clock.stands += 1
        enrol(plane, code, good())
    finally:
        plane.clock.stands = None


def test_a_rack_enrols_at_once_from_one_address(plane: Plane) -> None:
    """More machines than may be wrong in a minute, none of them answered before all have asked."""
    codes = [code_for(plane, f"rack-{number}") for number in range(40)]
    go = threading.Event()
    held = plane.control.database.submit(lambda _: go.wait(60))
    with ThreadPoolExecutor(len(codes)) as threads:
        made = [threads.submit(enrol, plane, code, good()) for code in codes]
        time.sleep(2)
        go.set()
        assert held.result()
        assert len({one.result().serial_number for one in made}) == len(codes)


# Who speaks.


def test_nobody_speaks_for_a_machine_without_its_certificate(
    plane: Plane, machine: Machine, tmp_path: Path
) -> None:
    """None, a self-made one, one of another authority, a header that says so."""
    path = f"{plane.base}/agents/v1/reports"
    answer = plane.pool.request(
        "POST", path, body=b"{}", headers={"X-SSL-Client-Cert": machine.identity.read_text()[:9]}
    )
    assert answer.status == 401
    stranger = certificates.new_authority(datetime.now(UTC))
    key, csr = new_request("x")
    forged = certificates.agent_certificate(stranger, csr, machine.identifier, datetime.now(UTC))
    identity = tmp_path / "forged.pem"
    identity.write_bytes(key + forged)
    with pytest.raises(LinkError):
        replace(machine, link=HttpsLink(plane.base, plane.authority, identity)).report()
    assert machine.report().accepted


def test_a_servers_certificate_is_no_machines(plane: Plane, machine: Machine) -> None:
    folder = plane.control.folder.path
    pool = urllib3.PoolManager(
        ca_certs=str(plane.authority),
        cert_file=str(folder / "server.pem"),
        key_file=str(folder / "server-key.pem"),
        retries=False,
    )
    try:
        answer = pool.request("POST", f"{plane.base}/agents/v1/reports", body=b"{}")
    except urllib3.exceptions.HTTPError:
        return  # OpenSSL refuses it by its purpose
    assert answer.status == 401


def test_an_expired_certificate_is_refused_on_a_connection_that_is_open(
    plane: Plane, machine: Machine
) -> None:
    assert machine.report().accepted
    plane.clock.ahead = 25 * 3600
    try:
        with pytest.raises(RefusedByServer, match="valid"):
            machine.report()
    finally:
        plane.clock.ahead = 0.0
    assert machine.report().accepted


def test_a_certificate_is_renewed_for_the_same_machine(
    plane: Plane, machine: Machine, tmp_path: Path
) -> None:
    key, csr = new_request("another")
    renewed = machine.link.renew(Renew(csr.decode()))
    identity = tmp_path / "renewed.pem"
    identity.write_bytes(key + renewed.certificate.encode())
    again = replace(machine, link=HttpsLink(plane.base, plane.authority, identity))
    assert again.report(number=5).accepted
    assert not machine.report(number=5).accepted, "they are one machine"


def test_a_machine_that_was_removed_is_heard_no_more(plane: Plane, machine: Machine) -> None:
    assert machine.report().accepted
    assert plane.call("DELETE", machine.resource).status == 200
    before = everything(plane)
    assert not machine.report().accepted
    with pytest.raises(RefusedByServer, match="enrol it again"):
        machine.poll()
    assert everything(plane) == before


# What is said.


def test_orders_go_to_their_machine_until_they_have_ended(
    plane: Plane, machine: Machine, tmp_path: Path
) -> None:
    other = enrolled(plane, f"o{uuid.uuid4().hex[:8]}", tmp_path)
    answer = plane.call("POST", f"{machine.resource}/assessPatches")
    assert answer.status == 202
    assert other.poll().orders == ()
    (order,) = machine.poll().orders
    assert machine.poll().orders == (order,), "an answer may be lost"
    assert machine.poll(known=(order.id,)).orders == ()
    assert machine.report(machine.assessed(order.id, PATCH)).accepted
    assert machine.poll().orders == ()


def test_a_waiting_machine_hears_at_once(plane: Plane, machine: Machine) -> None:
    heard: list[float] = []

    def wait() -> None:
        if machine.poll(20.0).orders:
            heard.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.5)
    began = time.monotonic()
    assert plane.call("POST", f"{machine.resource}/assessPatches").status == 202
    thread.join()
    assert heard and heard[0] - began < 2.0


def test_messages_that_are_late_repeated_or_anothers_change_nothing(
    plane: Plane, machine: Machine, tmp_path: Path
) -> None:
    """Generated: each is one that was good once, sent by the wrong one or at the wrong time."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    other = enrolled(plane, f"x{uuid.uuid4().hex[:8]}", tmp_path)
    theirs = []
    for _ in range(5):
        plane.call("POST", f"{machine.resource}/assessPatches")
    for order in machine.poll().orders:
        run = machine.assessed(order.id, PATCH)
        assert machine.report(run).accepted
        theirs.append(run)
    open_order = Order(runs.new_id(), RunKind.INSTALL)
    now = plane.clock()
    plane.control.database.write(
        lambda c: runs.ask(c, machine.identifier, "westeurope", open_order, runs.USER, now)
    )
    assert other.report().accepted
    other.number = 1_000_000
    assert other.report().accepted
    before = everything(plane)
    refused = 0
    kinds = [0] * 5
    for _ in range(_MESSAGES):
        run, kind = chance.choice(theirs), chance.randrange(5)
        health = Health(chance.uniform(0, 1e9)) if chance.random() < 0.3 else None
        kinds[kind] += 1
        match kind:
            case 0:  # again
                number = chance.randint(1, machine.number)
                answer = machine.report(run, number, health)
            case 1:  # out of order
                answer = other.report(None, chance.randint(-5, 1_000_000), health)
            case 2:  # another machine's, which has ended
                answer = other.report(replace(run, problem="x"), 1_000_000, health)
            case 3:  # another machine's, which waits
                foreign = replace(run, id=open_order.id, kind=RunKind.INSTALL)
                answer = other.report(foreign, chance.randint(0, 1_000_000), health)
            case _:  # good, but for a certificate that is too old, or not valid yet
                plane.clock.ahead = chance.choice([-1, 1]) * chance.uniform(25, 900) * 3600
                number = machine.number + chance.randint(1, 1000)
                try:
                    answer = machine.report(run, number, health)
                except RefusedByServer as no:
                    assert "valid" in str(no)
                    answer = Reported(False)
                finally:
                    plane.clock.ahead = 0.0
        refused += not answer.accepted
    print("again, out of order, another's ended, another's waiting, certificate:", kinds)
    assert refused == _MESSAGES
    assert everything(plane) == before
    good = replace(theirs[0], id=runs.new_id())
    assert machine.report(good, health=Health(1.0)).accepted, "and the next good one is taken"
    assert everything(plane) != before, "and would have been seen"


def test_health_is_kept_and_shown_with_its_times(plane: Plane, machine: Machine) -> None:
    name = machine.resource.rpartition("/")[2]
    path = f"resourceGroups/fleet/providers/Hotmend.Fleet/machines/{name}/health"
    nothing = plane.call("GET", path).body
    assert nothing["connected"] and nothing["told"] is None
    ended = Ended(17, "nginx", 1_000_000.0, Ending.CRASHED, 11)
    drift = Drift(18, "nginx", "bytes-differ: …")
    probe = ProbeResult("front page", False, 1_000_060.0, 5.0, "answered 500")
    health = Health(1_000_060.0, 1_000_030.0, 3, (drift,), (ended,), (probe,))
    assert machine.report(health=health).accepted
    shown = plane.call("GET", path).body
    assert shown["observed"].startswith("1970-01-12T13:47:40")
    assert shown["memoryVerified"].startswith("1970-01-12T13:47:10")
    assert shown["processesIntact"] == 3
    assert shown["processesDrifted"] == [
        {"pid": 18, "command": "nginx", "because": "bytes-differ: …"}
    ]
    (process,) = shown["processesEnded"]
    assert (process["pid"], process["ending"], process["number"]) == (17, "crashed", 11)
    (seen,) = shown["probes"]
    assert (seen["name"], seen["healthy"], seen["because"]) == ("front page", False, "answered 500")
    plane.clock.ahead = 600
    try:
        assert plane.call("GET", path).body["connected"] is False, "silence is not health"
    finally:
        plane.clock.ahead = 0.0
    assert not machine.report(number=1, health=Health(9.0)).accepted
    assert plane.call("GET", path).body["observed"] == shown["observed"]


def test_another_machines_order_cannot_be_ended(
    plane: Plane, machine: Machine, tmp_path: Path
) -> None:
    other = enrolled(plane, f"y{uuid.uuid4().hex[:8]}", tmp_path)
    plane.call("POST", f"{machine.resource}/assessPatches")
    (order,) = machine.poll().orders
    answer = other.report(other.assessed(order.id))
    assert not answer.accepted and "another machine" in answer.because
    assert machine.report(machine.assessed(order.id)).accepted
    again = machine.report(machine.assessed(order.id, PATCH))
    assert not again.accepted and "has ended" in again.because


# A good report but for its size.
LARGE = b'{"number": 1, "time": 1}' + b" " * (5 << 20)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"number": "1", "time": 1}',
        b'{"number": 1e400, "time": 1}',
        b'{"number": 1, "time": 1, "run": {"kind": "format"}}',
        b"[" * 100_000,
        b'{"number": 99999999999999999999999, "time": 1}',
        b'{"number": 1, "time": 1e300}',
        b'{"number": 1, "time": 1, "run": {"id": "a\\u0000", "kind": "assess", "started": 1, '
        b'"status": "Succeeded"}}',
        b'{"number": 1, "time": 1, "run": {"id": "' + b"a" * 99 + b'", "kind": "assess", '
        b'"started": 1, "status": "Succeeded"}}',
        LARGE,
    ],
)
def test_noise_is_refused(plane: Plane, machine: Machine, body: bytes) -> None:
    before = everything(plane)
    for path in ("reports", "orders", "renew", "enrol"):
        assert posted(plane, machine, path, body) in (400, 403), path
    assert everything(plane) == before
    assert machine.report().accepted


def test_without_bounds_it_would_be_taken(
    plane: Plane, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controls: what the two checks refuse is a report for everything else."""
    late = b'{"number": 1, "time": 1e12}'
    assert posted(plane, machine, "reports", LARGE) == 400
    assert posted(plane, machine, "reports", late) == 400
    monkeypatch.setattr(agent_routes, "_MOST_BODY", 8 << 20)
    assert posted(plane, machine, "reports", LARGE) == 200
    monkeypatch.setattr(agent_routes, "_sound", lambda _: True)
    assert posted(plane, machine, "reports", late) == 200


def posted(plane: Plane, machine: Machine, path: str, body: bytes) -> int:
    """The status that those bytes get, from a machine with its certificate."""
    pool = urllib3.PoolManager(
        ca_certs=str(plane.authority),
        cert_file=str(machine.identity),
        key_file=str(machine.identity),
        retries=False,
    )
    return int(pool.request("POST", f"{plane.base}/agents/v1/{path}", body=body).status)
