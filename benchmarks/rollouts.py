"""Rollouts in virtual worlds, one seed after the other: what the checker found, and how much harm a
bad hotpatch did. Simulated: all but the control plane.

    scripts/bench rollouts [--machines N] [--seeds FIRST-LAST] [--days N] [--drill KIND]
"""

from __future__ import annotations

import argparse
import time

from hotmend.simulation.virtual.hotpatch import KINDS
from hotmend.simulation.virtual.scenario import drill, varied
from hotmend.simulation.virtual.world import Story, World


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--machines", type=int, default=1000)
    words.add_argument("--seeds", default="1-10")
    words.add_argument("--days", type=float, default=4.0, help="for how long there are faults")
    words.add_argument("--drill", choices=[kind for kind in KINDS if kind != "good"])
    given = words.parse_args()
    first, last = map(int, given.seeds.split("-"))
    stories = []
    for seed in range(first, last + 1):
        if given.drill:
            scenario = drill(given.machines, seed, given.drill, given.days)
        else:
            scenario = varied(given.machines, seed, given.days)
        began = time.process_time()
        story = World(scenario).run()
        stories.append(story)
        print(f"seed {seed}: {told(story)}, {time.process_time() - began:.1f} CPU-s", flush=True)
        for one in story.violations[:3]:
            print(f"    {one.rule}: {one.sentence}", flush=True)
    broken = [story.scenario.seed for story in stories if story.violations]
    print(
        f"{len(stories)} seeds of {given.machines} simulated machines: {sum_of(stories, 'starts')}"
        f" starts, {sum_of(stories, 'ticks')} ticks, {sum_of(stories, 'deaths')} deaths of "
        f"replicas, at most {max(len(story.crashed) for story in stories)} machines crashed; "
        f"seeds with violations: {broken or 'none'}"
    )


def told(story: Story) -> str:
    states = ", ".join(story.states.values())
    return (
        f"{story.days:.1f} days, {story.starts} starts, {story.ticks} ticks, {story.deaths} deaths"
        f", {len(story.crashed)} crashed, {states}, {len(story.violations)} violations, "
        f"trace {story.trace[:16]}"
    )


def sum_of(stories: list[Story], what: str) -> int:
    return sum(getattr(story, what) for story in stories)


if __name__ == "__main__":
    main()
