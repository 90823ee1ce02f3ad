"""First paint and total blocking time of each page of the portal, from Chromium's own tracing.

    scripts/bench paint [--machines 10000] [--rounds 5] [PAGE...]

As Lighthouse counts them, but without a network in between, and without slowing anything down. Each
visit has a new context, so nothing is cached, and ends a second after the page has loaded.
*First paint* counts from the navigation's start, the server's own time included. *Total blocking
time*: what is over 50 ms of each task of the page's main thread, from the first contentful paint to
the visit's end. The medians of the rounds; in brackets the worst.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from playwright.sync_api import Browser

from portal import browser, pages
from server.conftest import Plane, serving

CATEGORIES = (
    *("-*", "blink.user_timing", "loading", "toplevel", "disabled-by-default-lighthouse"),
)
LONG_US = 50_000
REST_MS = 1000
_TASKS = ("RunTask", "ThreadControllerImpl::RunTask", "ThreadPool_RunTask")

Event = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """Of one visit, ms."""

    painted: float
    contentful: float
    blocked: float
    longest: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("page", nargs="*", help="only these")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as plane:
        pages.prepare(plane, asked.machines)
        cookie = browser.session_of(plane)
        heads = (f"{'page, ms':20}", *(f"{one:>16}" for one in ("first paint", "contentful")))
        print(*heads, f"{'blocking':>14} {'task':>7}")
        with browser.chromium() as chromium:
            for name, path in pages.everything(plane).items():
                if asked.page and name not in asked.page:
                    continue
                found = [look(chromium, plane, cookie, path) for _ in range(asked.rounds + 1)][1:]
                print(
                    f"{name:20} {_both([one.painted for one in found]):>16} "
                    f"{_both([one.contentful for one in found]):>16} "
                    f"{_both([one.blocked for one in found]):>14} "
                    f"{max(one.longest for one in found):7.0f}"
                )
        print("load average", *(f"{one:.1f}" for one in os.getloadavg()))


def look(chromium: Browser, plane: Plane, cookie: str, path: str) -> Seen:
    """One visit by somebody who has never been there."""
    made = browser.context(chromium, plane, cookie)
    page = made.new_page()
    with _tracing(chromium) as events:
        page.goto(path, wait_until="load")
        page.wait_for_timeout(REST_MS)
    made.close()
    return seen(events, plane.base)


def seen(events: list[Event], base: str) -> Seen:
    """What the trace of one visit says."""
    start = max(
        (
            one
            for one in events
            if one["name"] == "navigationStart"
            and one["args"].get("data", {}).get("documentLoaderURL", "").startswith(base)
        ),
        key=lambda one: one["ts"],
    )
    frame, process = start["args"]["frame"], start["pid"]

    def moment(name: str) -> float:
        """Microseconds since the start."""
        found = (
            one["ts"]
            for one in events
            if one["name"] == name and one["args"].get("frame") == frame and one["ts"] > start["ts"]
        )
        return float(min(found) - start["ts"])

    painted, contentful = moment("firstPaint"), moment("firstContentfulPaint")
    thread = next(
        one["tid"]
        for one in events
        if one["name"] == "thread_name"
        and one["pid"] == process
        and one["args"]["name"] == "CrRendererMain"
    )
    tasks = [
        one["dur"]
        for one in events
        if one["name"] in _TASKS
        and (one["pid"], one["tid"]) == (process, thread)
        and one["ts"] + one.get("dur", 0) > start["ts"] + contentful
        and "dur" in one
    ]
    assert tasks, "the trace has no tasks: its names have changed"
    blocked = sum(max(0, task - LONG_US) for task in tasks)
    return Seen(painted / 1000, contentful / 1000, blocked / 1000, max(tasks) / 1000)


@contextmanager
def _tracing(chromium: Browser) -> Iterator[list[Event]]:
    events: list[Event] = []
    ended: list[object] = []
    session = chromium.new_browser_cdp_session()
    session.on("Tracing.dataCollected", lambda said: events.extend(said["value"]))
    session.on("Tracing.tracingComplete", lambda said: ended.append(said))
    session.send(
        "Tracing.start", {"categories": ",".join(CATEGORIES), "transferMode": "ReportEvents"}
    )
    yield events
    session.send("Tracing.end")
    page = chromium.contexts[-1].pages[0]
    while not ended:
        page.wait_for_timeout(20)
    session.detach()


def _both(values: list[float]) -> str:
    return f"{median(values):.0f} ({max(values):.0f})"


if __name__ == "__main__":
    main()
