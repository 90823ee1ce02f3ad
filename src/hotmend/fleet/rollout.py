"""A rollout as a whole: go on, halt, freeze an owner's part, open the next phase, end, warn. Pure.

Azure says that an update moves to the next phase only if the eligible machines of this one update
successfully; how many failures stop it is not published. Ours:

* An owner (a subscription) is the unit of trust: who owns a machine decides what it reports. So an
  owner's failures are weighed against its own attempts only: beyond ``max(least_failures,
  failure_share x attempted)`` its part is frozen. Healthy reports of others do not make that
  budget larger, so they cannot green-light anything for it.
* The whole halts on the word of several: when ``owners_to_halt`` owners are beyond their budgets,
  or all if there are fewer, or when failures exceed the budget of all attempts, each owner's
  counted up to half of it. So one owner alone can halt nobody else.
* Both are weighed twice, over the rollout and over the open phase: what goes wrong only in a late
  phase must not hide behind the healthy machines of the earlier ones.
* In the canary phase the budget is less than ``canary_failures``.

How much harm gets through: in flight and failed together are at most ``most`` (`room`), so that
many are harmed before an owner is frozen; its failures are then taken out of that sum, since
otherwise it could use up everybody's room. That can happen ``owners_to_halt - 1`` times before all
is halted. So at most ``owners_to_halt x most`` are harmed: 1 % of a fleet with the defaults, or 10
machines of a small one, whatever the hotpatch does and whoever it hits. Machines that fail after
their soak are beyond that; for them canaries are watched for ``canary_bake_s``.

Liars that make up 2 % of *every* owner look like a crash in 2 % of all machines. That halts.

Failures are weighed against turns that came to an end. Those in flight prove nothing yet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hotmend.fleet.settings import Settings

CANARIES = 0
_DAY_S = 86_400.0


class RolloutState(StrEnum):
    """*halted*: by failures, until a person resumes it; *paused*: by a person. Neither starts
    anything, and what is in flight ends by itself."""

    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    CANCELLED = "cancelled"
    FINISHED = "finished"


@dataclass(frozen=True)
class Tally:
    """Turns of one owner in one phase. Of the failed, ``again`` will be tried again, and
    ``pardoned`` are those that a person saw when resuming: these very ones, which stop nothing
    again."""

    phase: int
    owner: str
    waiting: int = 0
    in_flight: int = 0
    healthy: int = 0
    failed: int = 0
    again: int = 0
    pardoned: int = 0

    @property
    def fresh(self) -> int:
        """Failures that no person has seen yet."""
        return self.failed - self.pardoned

    @property
    def attempted(self) -> int:
        """Turns that came to an end."""
        return self.healthy + self.failed

    @property
    def left(self) -> int:
        """Turns that still want a start."""
        return self.waiting + self.again


@dataclass(frozen=True)
class Standing:
    """How a rollout stands. ``phase``: the one that is open, since ``opened``; ``last_phase``: the
    highest there is. ``released``: the promise counts from then. Times in seconds of the epoch.
    ``frozen``: owners whose part is frozen. ``reachable``: a machine of another owner waits in the
    open phase that is on and was heard from within ``reachable_s``. ``ended``: when the last turn
    of the open phase came to its end, 0.0 for never."""

    state: RolloutState
    phase: int
    last_phase: int
    opened: float
    released: float
    tallies: Sequence[Tally]
    frozen: frozenset[str] = frozenset()
    reachable: bool = False
    ended: float = 0.0


class Action(StrEnum):
    """*halt*: start nothing more; *freeze*: nothing more of these owners; *promote*: open the next
    phase; *finish*; *warn*: a person must act."""

    NONE = "none"
    HALT = "halt"
    FREEZE = "freeze"
    FINISH = "finish"
    PROMOTE = "promote"
    WARN = "warn"


@dataclass(frozen=True)
class Decision:
    """``sentence``: what and why, for a person. ``owners``: whose part to freeze."""

    action: Action
    sentence: str
    owners: frozenset[str] = frozenset()


def room(standing: Standing, fleet: int, settings: Settings) -> int:
    """How many turns of the rollout may be in flight: admission's ``most``. Failed machines use it
    up, but those of a frozen owner do not use up that of others. ``fleet``: machines of the
    rollout."""
    harmed = sum(t.fresh for t in standing.tallies if t.owner not in standing.frozen)
    return max(0, settings.most(fleet) - harmed)


def decision(standing: Standing, settings: Settings, now: float) -> Decision:
    """What to do now; the gravest if there are several things. A warning is repeated until it is
    mended: who asks keeps what was said already."""
    found = (rule(standing, settings, now) for rule in RULES.get(standing.state, ()))
    return next((f for f in found if f), Decision(Action.NONE, f"it is {standing.state}"))


def _harm(standing: Standing, settings: Settings, now: float) -> Decision | None:
    here = [t for t in standing.tallies if t.phase == standing.phase]
    beyond: set[str] = set()
    for name, tallies in (("", standing.tallies), (f" of phase {standing.phase}", here)):
        owners = _by_owner(tallies)
        failed = sum(failures for failures, _ in owners.values())
        attempted = sum(count for _, count in owners.values())
        allowed = _budget(standing, attempted, settings)
        cap = max(1.0, allowed / 2)
        if sum(min(failures, cap) for failures, _ in owners.values()) > max(cap, allowed):
            return Decision(
                Action.HALT,
                f"{failed} of {attempted} machines{name} failed; {allowed:g} are tolerated",
            )
        beyond |= {
            owner
            for owner, (failures, count) in owners.items()
            if failures > _budget(standing, count, settings)
        }
    fresh = frozenset(beyond) - standing.frozen
    enough = min(settings.owners_to_halt, len({t.owner for t in standing.tallies}))
    names = ", ".join(sorted(fresh))
    if fresh and len(fresh | standing.frozen) >= enough:
        return Decision(Action.HALT, f"too many machines failed at {names}")
    if fresh:
        sentence = f"too many machines failed at {names}; the other owners go on"
        return Decision(Action.FREEZE, sentence, fresh)
    return None


def _by_owner(tallies: Iterable[Tally]) -> dict[str, tuple[int, int]]:
    """Owner to (failed, attempted)."""
    failed: dict[str, int] = defaultdict(int)
    attempted: dict[str, int] = defaultdict(int)
    for t in tallies:
        failed[t.owner] += t.fresh
        attempted[t.owner] += t.attempted
    return {owner: (failed[owner], attempted[owner]) for owner in attempted}


def _budget(standing: Standing, attempted: int, settings: Settings) -> float:
    if standing.phase == CANARIES:
        return settings.canary_failures - 1
    return settings.failure_budget(attempted)


def _end(standing: Standing, settings: Settings, now: float) -> Decision | None:
    """A machine that is off keeps it open: it is picked up later, within the promise."""
    if any(t.in_flight for t in standing.tallies):
        return None
    left = sum(t.left for t in standing.tallies)
    if now > standing.released + settings.promise_days * _DAY_S:
        without = f"; {left} machines did not get it" if left else ""
        return Decision(Action.FINISH, f"{settings.promise_days:g} days are over{without}")
    if not left:
        return Decision(Action.FINISH, "every machine had its turn")
    return None


def _promotion(standing: Standing, settings: Settings, now: float) -> Decision | None:
    if standing.phase >= standing.last_phase:
        return None
    here = [t for t in standing.tallies if t.phase == standing.phase]
    trusted = [t for t in here if t.owner not in standing.frozen]
    days = (now - standing.opened) / _DAY_S
    if any(t.in_flight for t in here):
        return None
    if standing.reachable and days < settings.phase_most_days:
        return None
    healthy, attempted = sum(t.healthy for t in trusted), sum(t.attempted for t in trusted)
    if healthy < settings.healthy_share * attempted:
        return _stuck(standing, f"only {healthy} of {attempted} machines are healthy")
    if standing.phase == CANARIES and here:
        # A canary that was patched at night has yet to see a working day, whenever the phase began.
        if now < max(standing.opened, standing.ended) + settings.canary_bake_s:
            return None
        if not healthy:
            return _stuck(standing, "no canary was reached")
    sentence = f"{healthy} of {attempted} machines of phase {standing.phase} are healthy"
    return Decision(Action.PROMOTE, sentence)


def _stuck(standing: Standing, why: str) -> Decision:
    sentence = f"phase {standing.phase}: {why}; two approvers may open the next phase"
    return Decision(Action.WARN, sentence)


def _warning(standing: Standing, settings: Settings, now: float) -> Decision | None:
    """That the promise will be broken: the end is near, or by the pace so far."""
    left = sum(t.left for t in standing.tallies)
    done = sum(t.healthy for t in standing.tallies)
    gone = now - standing.released
    days = settings.promise_days - gone / _DAY_S
    if not left:
        return None
    if days <= settings.promise_warning_days:
        return Decision(
            Action.WARN, f"{left} machines wait, and {max(0.0, days):.0f} days are left"
        )
    # The first days tell no pace: canaries bake, and every region waits for its night.
    if gone >= settings.promise_warning_days * _DAY_S and left * gone > done * days * _DAY_S:
        return Decision(
            Action.WARN,
            f"{done} machines in {gone / _DAY_S:.0f} days: at that pace {left} others will not "
            f"have it after {settings.promise_days:g} days",
        )
    return None


_Rule = Callable[[Standing, Settings, float], Decision | None]
RULES: dict[RolloutState, tuple[_Rule, ...]] = {
    RolloutState.RUNNING: (_harm, _end, _promotion, _warning),
    RolloutState.PAUSED: (_harm, _end, _warning),
    RolloutState.HALTED: (_warning,),
}
