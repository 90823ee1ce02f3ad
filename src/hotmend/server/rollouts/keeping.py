"""The loop that keeps rollouts going, in each replica: whichever has the keeper's row acts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from hotmend.fleet.regions import pair_keys, pairs
from hotmend.release import draft, policy
from hotmend.release.errors import NotReleased, ReleaseError
from hotmend.server.control import Control
from hotmend.server.rollouts import releases, schedules
from hotmend.server.rollouts.moment import Moment
from hotmend.server.rollouts.releases import Published
from hotmend.server.rollouts.tick import tick
from hotmend.server.storage import keeper, rollouts, settings
from hotmend.server.storage.tables import machines

TICK_S = 1.0
_LATECOMERS_EVERY_S = 300.0
_MINUTE_S = 60.0
_log = logging.getLogger("hotmend.rollouts")


class Keeping:
    """``tick`` is one look at all rollouts, and may be called by anybody at any time."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._pairs = pair_keys(pairs())
        self._joined = 0.0
        self._minute = 0.0
        self._passed_over: set[str] = set()
        self._problems: dict[str, str] = {}

    async def run(self) -> None:
        """For as long as the server runs."""
        while True:
            with contextlib.suppress(SQLAlchemyError):  # a database that is away is asked again
                published = await asyncio.to_thread(self._published)
                work = self._control.database.submit(partial(self.tick, published=published))
                if await asyncio.wrap_future(work):
                    self._control.orders.notify()
            await asyncio.sleep(TICK_S)

    def tick(self, connection: Connection, published: tuple[Published, ...] = ()) -> int:
        """How many machines were told to begin."""
        now = self._control.clock()
        watch = keeper.take(connection, now)
        if watch is None:
            return 0
        written = settings.get(connection, "rollouts")
        for one in published:
            if not rollouts.known(connection, one.name):
                releases.begin(connection, one, written, now)
        if now // _MINUTE_S != self._minute:  # schedules begin at whole ones
            self._minute = now // _MINUTE_S
            schedules.begin_due(connection, written, watch.before, now)
        moment = Moment(now, watch.listening_since, self._pairs)
        opened = rollouts.listed(connection, open_only=True)
        if now - self._joined >= _LATECOMERS_EVERY_S:
            self._joined = now
            known = rollouts.listed(connection)
            for rollout in opened:
                if rollout.kind == rollouts.AUTOMATIC and not releases.newer(rollout, known):
                    rollouts.join(connection, rollout, machines.c.automatic)
        return sum(tick(connection, rollout, moment) for rollout in reversed(opened))

    def _published(self) -> tuple[Published, ...]:
        """Releases that ask for a rollout and have none yet."""
        served = self._control.repository
        names = [name for name in served.releases() if name not in self._passed_over]
        with self._control.database.reading() as connection:
            new = [name for name in names if not rollouts.known(connection, name)]
        found = []
        for name in new:
            try:
                one = Published(name, draft.decode(served.text(name), name), self._policy())
            except ReleaseError as error:  # its file may still be on its way
                if str(error) != self._problems.get(name):
                    _log.warning("%s cannot be rolled out: %s", name, error)
                self._problems[name] = str(error)
                continue
            if one.wanted:
                found.append(one)
            else:
                self._passed_over.add(name)
        return tuple(found)

    def _policy(self) -> policy.Policy | None:
        """The signed one; None where nobody has published any. Raises ReleaseError."""
        try:
            return policy.parse(self._control.repository.text(policy.TARGET))
        except NotReleased:
            return None
