"""One simulated machine: the real agent's rules, on packages and processes that are not there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hotmend import __version__
from hotmend.agent.assess import Seen, assess
from hotmend.agent.channel import Available
from hotmend.agent.errors import AgentError
from hotmend.agent.install import install, status, wants_restart
from hotmend.agent.packages import NoPackages
from hotmend.agent.revert import revert
from hotmend.model.agent_messages import (
    Assessment,
    Ended,
    Ending,
    Facts,
    Health,
    Installation,
    InstallationState,
    Order,
    ProbeResult,
    RebootStatus,
    Run,
    RunKind,
    RunStatus,
)
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.release.classification import Classification
from hotmend.release.debian_catalogue import of_update
from hotmend.release.parity import Update
from hotmend.simulation import behaviour
from hotmend.simulation.behaviour import Behaviour, Fate
from hotmend.simulation.population import Place

_PIDS = (101, 102)
_RESTART_S = 5.0
_CRASH_SIGNAL = 11


def made_up() -> tuple[Available, ...]:
    """Updates that nobody released: a library with a hotpatch, and a tool."""
    security, other = Classification.SECURITY, Classification.OTHER
    return tuple(
        _available(update)
        for update in (
            Update("simulated-lib", "1-1", "1-2", security, ("CVE-0000-1",), True, "simulated"),
            Update("simulated-tool", "1-1", "1-2", other, (), True),
        )
    )


@dataclass(frozen=True)
class Condition:
    """``crashed``: articles of which a process crashed, with the time; ``healthy``: what its
    owner's probe says."""

    crashed: tuple[tuple[str, float], ...]
    healthy: bool


class Simulated:
    """``updates``: what the publishers have released; hotpatches are known by their article."""

    def __init__(
        self, place: Place, manner: Behaviour, seed: int, updates: Sequence[Available]
    ) -> None:
        self.place = place
        self._manner = manner
        self._seed = seed
        self._lies = behaviour.lies(manner, seed, place.name)
        self._updates = tuple(updates)
        self._disk = {one.update.package: one.update.old_version for one in updates}
        self._live: dict[str, float] = {}  # article → when
        self._booted = 0.0

    def facts(self, now: float) -> Facts:
        """Nobody takes it for a machine that is there."""
        self._booted = self._booted or now
        return Facts(
            host=self.place.name,
            os_name="debian",
            os_version="12",
            kernel="simulated",
            agent=f"{__version__} simulated",
            booted=self._booted,
            zone=self.place.time_zone,
        )

    def powered(self, now: float) -> bool:
        """Off, it neither hears nor answers."""
        return behaviour.powered(self._manner, self._seed, self.place.name, now)

    def condition(self, now: float) -> Condition:
        """What health signals would say; a liar is always well."""
        if self._lies:
            return Condition((), True)
        fates = {article: self._fate(article) for article in self._live}
        crashed = tuple(
            (article, self._live[article] + fate.crashes_after_s)
            for article, fate in fates.items()
            if fate.crashes_after_s is not None
            and now >= self._live[article] + fate.crashes_after_s
        )
        return Condition(crashed, not any(fate.unhealthy for fate in fates.values()))

    def health(self, now: float) -> Health:
        """The same in the words of agents, which have just looked at everything."""
        known = self.condition(now)
        ended = (
            Ended(_PIDS[0], f"simulated {article}", time, Ending.CRASHED, _CRASH_SIGNAL)
            for article, time in known.crashed
        )
        because = "" if known.healthy else "simulated: this machine was told to be ill"
        return Health(
            time=now,
            verified=now,
            intact=len(_PIDS) * len(self._live) - len(known.crashed),
            ended=tuple(sorted(ended, key=lambda one: one.time)),
            probes=(ProbeResult("simulated", known.healthy, now, 0.0, because),),
        )

    def assess(self, identifier: str, now: float) -> Run:
        """At once."""
        return Run(
            identifier, RunKind.ASSESS, now, RunStatus.SUCCEEDED, now, assessment=self._look()
        )

    def takes(self, order: Order) -> float:
        """How many seconds ``order`` will take."""
        if order.kind in (RunKind.ASSESS, RunKind.REVERT):
            return 0.0
        if order.kind is RunKind.RESTART:
            return _RESTART_S
        return max(
            (self._fate(patch.article).install_s for patch in self._look().patches), default=0
        )

    def carry_out(self, order: Order, began: float, now: float) -> Run:
        """What comes of ``order``, which was begun at ``began`` and has ended."""
        if order.kind is RunKind.ASSESS:
            return self.assess(order.id, now)
        if order.kind is RunKind.RESTART:
            self._booted = now
            return Run(order.id, RunKind.RESTART, began, RunStatus.SUCCEEDED, now)
        if order.kind is RunKind.REVERT:
            undone = self._revert(order, now)
            return Run(order.id, RunKind.REVERT, began, status(undone), now, installation=undone)
        done = self._install(order, began, now)
        if wants_restart(order, done, began, now):
            self._booted = now
            done = replace(done, reboot=RebootStatus.COMPLETED)
        if self._lies:
            done = _flattering(done)
        return Run(order.id, RunKind.INSTALL, began, status(done), now, installation=done)

    def _revert(self, order: Order, now: float) -> Installation:
        processes = _Processes(self._live, self._fate, now)
        return revert(order, self._hotpatches(), processes, lambda: None)

    def _hotpatches(self) -> dict[str, Available]:
        return {one.live.article: one for one in self._updates if one.live is not None}

    def _install(self, order: Order, began: float, now: float) -> Installation:
        return install(
            order,
            began,
            self._look(),
            self._hotpatches(),
            _Processes(self._live, self._fate, now),
            _Disk(self._disk, self._fate),
            lambda _: (),
            lambda: now,
            lambda _: None,
        )

    def _look(self) -> Assessment:
        processes = _Processes(self._live, self._fate, 0.0)
        seen = {one.live.article: processes.look(one.data) for one in self._updates if one.live}
        # Of one package a machine is told the newest release: its disk has nothing newer.
        older = NoPackages().older
        return assess(self._updates, seen, self._disk, (), older=older, reboot_pending=False)

    def _fate(self, article: str) -> Fate:
        return behaviour.fate(self._manner, self._seed, self.place.name, article)


@dataclass
class _Processes:
    """The agent's port to its surgeon."""

    live: dict[str, float]
    fate: Callable[[str], Fate]
    now: float

    def look(self, data: bytes) -> Seen:
        kind = OutcomeKind.ALREADY if data.decode() in self.live else OutcomeKind.OUTDATED
        return Seen(tuple(Outcome(pid, "simulated", kind) for pid in _PIDS))

    def apply(self, data: bytes, pids: Sequence[int] = ()) -> tuple[Outcome, ...]:
        article = data.decode()
        if self.fate(article).fails:
            no = Refusal(RefusalCode.BYTES_DIFFER, "simulated: this machine was told to fail")
            return tuple(Outcome(p, "simulated", OutcomeKind.REFUSED, refusal=no) for p in _PIDS)
        self.live.setdefault(article, self.now)
        return tuple(Outcome(pid, "simulated", OutcomeKind.APPLIED) for pid in _PIDS)

    def revert(self, data: bytes) -> tuple[Outcome, ...]:
        if self.live.pop(data.decode(), None) is None:
            return ()
        return tuple(Outcome(pid, "simulated", OutcomeKind.REVERTED) for pid in _PIDS)

    def verify(self) -> tuple[Outcome, ...]:
        return ()

    def stale(self) -> tuple[()]:
        return ()


@dataclass
class _Disk:
    """The agent's port to its package manager."""

    versions: dict[str, str]
    fate: Callable[[str], Fate]

    def install(self, name: str, version: str) -> None:
        if self.fate(f"{name}={version}").fails:
            raise AgentError("simulated: this machine was told to fail")
        self.versions[name] = version


def _flattering(done: Installation) -> Installation:
    """All went well."""
    patches = tuple(
        replace(patch, state=InstallationState.INSTALLED, because="", processes=())
        if patch.state is InstallationState.FAILED
        else patch
        for patch in done.patches
    )
    return replace(done, patches=patches)


def _available(update: Update) -> Available:
    package, *live = of_update(update)
    if not live:
        return Available(update, package)
    return Available(update, package, live[0], None, live[0].article.encode())
