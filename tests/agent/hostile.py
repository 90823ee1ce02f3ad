"""A control plane in an attacker's hands: it answers polls with anything, and serves the signed
repository with any byte of it changed. And the machine that has to do with it, whose agent, link,
journal and repository client are the real ones; only memory, disk and clock are not."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.fakes import FakePackages
from hotmend.agent import channel
from hotmend.agent.agent import Agent
from hotmend.agent.allowed import Known, Machine
from hotmend.agent.assess import Seen
from hotmend.agent.channel import Looked
from hotmend.agent.errors import LinkError, RefusedByServer
from hotmend.agent.journal import Journal
from hotmend.agent.link import HttpsLink
from hotmend.agent.packages import Upgrade
from hotmend.hotpatch.codec import encode
from hotmend.model.agent_messages import Facts
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.release import draft
from hotmend.release.classification import Classification
from hotmend.release.draft import Draft
from hotmend.release.parity import Update
from hotmend.release.release import Month
from hotmend.release.repository import client
from hotmend.release.repository.client import Place
from hotmend.surgery.order import Stale
from release.mirror import Mirror, QuietServer, begin
from surgery import workshop

# Two months of one package: the first has had its soak in every ring, the second has just come out.
OLDER, NEWER = "2026-10.release.json", "2026-11.release.json"
FILES = {OLDER: "older.hotpatch", NEWER: "newer.hotpatch"}
RING, SOAK, ORDERS_PER_DAY = "all", timedelta(hours=24), 3
OPENS, CLOSES = 22, 6
POLICY = {
    "rings": [{"name": "canary", "percent": 1}, {"name": RING, "percent": 99}],
    "largest_batch": 10,
    "windows": [{"opens": f"{OPENS:02}:00", "closes": f"{CLOSES:02}:00"}],
    "minimum_soak_minutes": SOAK / timedelta(minutes=1),
    "orders_per_day": ORDERS_PER_DAY,
}
# The clock of a machine begins here: the newer release is as old as this.
BEGAN = datetime.now(UTC).replace(microsecond=0)

Mischief = Callable[[bytes], bytes | None]


@dataclass(frozen=True)
class Signed:
    """The publishers' repository. ``digests``: the file of each release."""

    folder: Path
    root: Path
    digests: dict[str, str]


def publish(folder: Path) -> Signed:
    """A repository with both releases and the policy."""
    signers = begin(folder)
    mirror = Mirror(folder / "repository", signers, Place(folder, "", ""), folder)
    made = folder / "made"
    made.mkdir()
    digests = {}
    (made / "policy.json").write_text(json.dumps(POLICY))
    mirror.repository.add([made / "policy.json"], BEGAN)
    for name, released in ((OLDER, BEGAN - 10 * SOAK), (NEWER, BEGAN)):
        package = f"lib{name[:7]}"
        data = encode(workshop.hotpatch("answer", package=package))
        (made / FILES[name]).write_bytes(data)
        digests[name] = hashlib.sha256(data).hexdigest()
        update = Update(
            *(package, "1", "2", Classification.SECURITY, ("CVE-1",), True), hotpatch=FILES[name]
        )
        (made / name).write_text(draft.encode(Draft(name, Month.parse(name[:7]), (update,))))
        files = [made / FILES[name], made / name]
        mirror.repository.add(files, released, unproven="a test", gaps="a test")
    mirror.repository.extend(BEGAN)
    mirror.sign_and_publish(datetime.now(UTC))
    return Signed(folder / "repository", mirror.metadata / "1.root.json", digests)


class ControlPlane:
    """``answer``: the next answer to anything that agents ask; ``mischief``: what is done to files
    of the repository."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self.answer = b"{}"
        self.mischief: Mischief = lambda data: data
        self.url = ""

    @contextmanager
    def serving(self) -> Iterator[ControlPlane]:
        plane = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self._send(plane.answer)

            def do_GET(self) -> None:
                path = plane._repository / self.path.removeprefix("/repository/")
                data = path.read_bytes() if path.is_file() else None
                self._send(plane.mischief(data) if data is not None else None)

            def _send(self, data: bytes | None) -> None:
                self.send_response(200 if data is not None else 404)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *_: object) -> None:
                """Nothing."""

        server = QuietServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@dataclass
class Victim:
    """A machine. Everything that is done to it is checked by rules of its own, which share no code
    with the agent's; ``wrongs``: what should never have happened; ``done``: how often what did."""

    folder: Path
    signed: Signed
    plane: ControlPlane
    now: datetime = BEGAN
    wrongs: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.place = Place(
            self.folder / "trusted",
            f"{self.plane.url}/repository/metadata/",
            f"{self.plane.url}/repository/targets/",
        )
        client.trust(self.place.metadata, self.signed.root)
        self._boot = 0
        self._patched: set[str] = set()
        self._acted: list[datetime] = []
        self._acts = False
        self._link = HttpsLink(self.plane.url, self.folder / "no.pem", None)
        self._journal = Journal(self.folder / "journal.sqlite")
        self._agent = self._start()

    def hear(self, answer: bytes, later: timedelta) -> None:
        """One poll, and all the work that comes of it."""
        self.now += later
        self.plane.answer = answer
        with suppress(LinkError, RefusedByServer):
            self._agent.exchange(self._link, 0)
        while self._work():
            pass
        with suppress(LinkError, RefusedByServer):
            self._agent.send(self._link)

    def close(self) -> None:
        self._journal.close()
        self._link.close()

    def _work(self) -> bool:
        self._acts = False
        more = self._agent.turn()
        if self._acts:
            self._acted = [t for t in self._acted if t > self.now - timedelta(days=1)] + [self.now]
            if len(self._acted) > ORDERS_PER_DAY:
                self.wrongs.append(f"{len(self._acted)} orders within a day")
        if self._journal.noted("restart"):
            self._boot += 1
            self._agent = self._start()
            return True
        return more

    def _start(self) -> Agent:
        packages = FakePackages({"lib2026-10": "1", "lib2026-11": "1", "bash": "1"})
        packages.newer = [Upgrade("bash", "1", "2", Classification.SECURITY)]
        agent = Agent(self._journal, self, self, packages, self, clock=self.now_s)
        agent.begin()
        return agent

    def now_s(self) -> float:
        return self.now.timestamp()

    def _act(self, what: str, data: bytes | None = None) -> None:
        self._acts = True
        self.done.append(what)
        if not (self.now.hour >= OPENS or self.now.hour < CLOSES):
            self.wrongs.append(f"{what} at {self.now:%H:%M}")
        newer = self.signed.digests[NEWER]
        young = self.now < BEGAN + SOAK
        is_newer = "lib2026-11" in what or (data and hashlib.sha256(data).hexdigest() == newer)
        if is_newer and young:
            self.wrongs.append(f"{what} before its soak was over")

    def _load(self, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() not in self.signed.digests.values():
            self.wrongs.append(f"{len(data)} unsigned bytes loaded")

    # As the agent sees it: Surgery, Hands, Surroundings.

    def look(self, given: bytes | tuple[str, ...]) -> Seen | Looked:
        if isinstance(given, tuple):
            return channel.look(self.place, given, self.folder / "downloads")
        self._load(given)
        kind = OutcomeKind.ALREADY if _name(given) in self._patched else OutcomeKind.OUTDATED
        return Seen((Outcome(10, "victim", kind),))

    def apply(self, data: bytes, pids: Sequence[int] = ()) -> tuple[Outcome, ...]:
        self._load(data)
        self._act("apply", data)
        self._patched.add(_name(data))
        return (Outcome(10, "victim", OutcomeKind.APPLIED, 0.1),)

    def verify(self) -> tuple[Outcome, ...]:
        return ()

    def stale(self) -> tuple[Stale, ...]:
        return ()

    def install(self, name: str, version: str) -> None:
        self._act(f"install {name}")

    def restart(self) -> None:
        self._act("restart")

    def facts(self) -> Facts:
        return Facts("host", "debian", "12", "6.1", "0", 0.0)

    def reboot_pending(self) -> bool:
        return True

    def boot_id(self) -> str:
        return str(self._boot)

    def machine(self) -> Machine:
        return Machine("a machine", RING, "Etc/UTC")

    def refresh(self) -> client.Poll:
        return client.poll(self.place)

    def policy(self) -> Known:
        return channel.rules(self.place, self.folder / "downloads")


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
