"""The portal with many machines: server time and bytes of each page, filters and search included.

    scripts/bench portal [--machines 10000] [--postgres | --database URL]

The machines are simulated rows, put straight into the tables; requests go over loopback TLS, one
after the other, to a real server. Each page is asked for ``--rounds`` times, and once before that.
Beside the time it took stands what it cost: CPU of the thread that drew it, the embedded database's
included. On a busy machine the first is longer and the second is not.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from starlette.responses import Response
from starlette.routing import Route

from hotmend.server.portal.portal import Draw, Portal
from hotmend.server.portal.visit import Visit
from portal import browser, fleet, pages
from server import postgres
from server.conftest import serving

GOAL_MS, GOAL_BYTES = 300.0, 200 << 10


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--database", default="")
    parser.add_argument("--postgres", action="store_true", help="on a cluster of its own")
    asked = parser.parse_args()
    spent: list[float] = []
    _count(spent)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = asked.database
        if asked.postgres:
            database = stack.enter_context(postgres.running(folder / "cluster"))
        plane = stack.enter_context(serving(folder, database))
        began = time.monotonic()
        pages.prepare(plane, asked.machines)
        print(f"{asked.machines} simulated machines in {time.monotonic() - began:.0f} s")
        cookie = {"Cookie": f"__Host-hotmend={browser.session_of(plane)}"}
        paths = pages.paths(plane) | {
            "search": "/portal/machines?search=web-0042",
            "search nothing": "/portal/machines?search=nothing",
            "by state": "/portal/machines?state=restart",
            "by updates": "/portal/machines?updates=reboot",
            "by hotpatch": "/portal/machines?hotpatch=Pending+Evaluation",
            "by region": "/portal/machines?region=eastasia",
            "by patch": f"/portal/machines?missing={quote(fleet.EXPAT)}",
            "half way": "/portal/machines?after="
            + quote(f"/subscriptions/{plane.subscription}/resourcegroups/shop3".lower()),
        }
        print(f"{'page':22} {'p50 ms':>8} {'p95 ms':>8} {'cpu ms':>8} {'bytes':>8}")
        for name, path in paths.items():
            if name == "refused":
                continue
            times, size = [], 0
            plane.pool.request("GET", plane.base + path, headers=cookie)
            spent.clear()
            for _ in range(asked.rounds):
                start = time.perf_counter()
                answer = plane.pool.request("GET", plane.base + path, headers=cookie)
                times.append(1000 * (time.perf_counter() - start))
                size = len(answer.data)
                assert answer.status == 200, (name, answer.status)
            cuts = quantiles(times, n=20, method="inclusive")
            over = " over" * (cuts[18] > GOAL_MS or size > GOAL_BYTES)
            cpu = 1000 * median(spent)
            print(f"{name:22} {cuts[9]:8.1f} {cuts[18]:8.1f} {cpu:8.1f} {size:8}{over}")
        print("load average", *(f"{one:.1f}" for one in os.getloadavg()))


def _count(spent: list[float]) -> None:
    """Note the CPU time of each page that is drawn from now on."""
    page = Portal.page

    def counted(self: Portal, path: str, draw: Draw) -> Route:
        def drawn(visit: Visit) -> Response:
            start = time.thread_time()
            try:
                return draw(visit)
            finally:
                spent.append(time.thread_time() - start)

        return page(self, path, drawn)

    Portal.page = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
