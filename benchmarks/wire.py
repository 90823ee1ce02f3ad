"""A rollout from end to end through HTTPS: how many machines a second one core leads through it.

    scripts/bench wire [--machines N] [--racks N] [--rounds N]

Two servers on one PostgreSQL, each a process; the machines are simulated, with a certificate and a
connection each: they poll, take their order, report its end and how they are. A machine that is
done is told from a release that is published to a rollout that has finished. CPU is that of the
servers and of PostgreSQL, in all; the machines' own is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import time

from hotmend.demo.story import folder_for_all
from live.windows import open_now
from server import postgres
from server.rollouts.site import Site, site
from spent import cpu

SETTINGS = {
    "soak_s": 5.0,
    "signal_max_age_s": 5.0,
    "canary_share": 0,
    "least_canaries": 0,
    "canary_bake_s": 0,
    "least_most": 10**6,
}
IN_A_SET = 2


def main() -> None:
    words = argparse.ArgumentParser(description="rollouts through HTTPS")
    words.add_argument("--machines", type=int, default=2000)
    words.add_argument("--racks", type=int, default=4)
    words.add_argument("--rounds", type=int, default=3)
    given = words.parse_args()
    pace = {"poll_s": 60.0, "install_s": 1.0}
    with (
        folder_for_all(False) as folder,
        site(folder, given.machines, given.racks, SETTINGS | open_now(), IN_A_SET, **pace) as made,
    ):
        found = [_round(made, number) for number in range(given.rounds)]
    seconds, spent = (statistics.median(column) for column in zip(*found, strict=True))
    print("| machines | seconds | machines /s | CPU-s | machines /CPU-s | CPU ms a machine |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {given.machines:,} | {seconds:.0f} | {given.machines / seconds:.0f} | {spent:.1f} | "
        f"{given.machines / spent:.0f} | {1e3 * spent / given.machines:.1f} |"
    )


def _round(made: Site, number: int) -> tuple[float, float]:
    """(seconds, CPU-seconds)."""
    roots = [postgres.pid(made.cluster), *(plane.pid for plane in made.planes)]
    began, before = time.monotonic(), cpu(*roots)
    name = made.publish(number)
    while made.state(name) != "finished":
        time.sleep(0.5)
    return time.monotonic() - began, cpu(*roots) - before


if __name__ == "__main__":
    main()
