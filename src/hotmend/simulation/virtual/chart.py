"""What happened in a virtual world, drawn: how far each region was, over time. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from xml.sax.saxutils import escape

from hotmend.simulation.virtual.scenario import DAY_S
from hotmend.simulation.virtual.world import Sample, Story

_WIDTH, _HEIGHT, _LEFT, _TOP = 900, 60, 190, 60
_PLOT = _WIDTH - _LEFT - 20
_BLOCKS = " ▁▂▃▄▅▆▇█"
_GREEN, _RED, _BLUE, _GREY = "#2e7d32", "#c62828", "#1565c0", "#e0e0e0"
_STATES = (("healthy", _GREEN), ("failed", _RED), ("in flight", _BLUE))


def progress(story: Story) -> dict[tuple[str, str], list[tuple[float, dict[str, float]]]]:
    """(rollout, region) to samples: (days since the beginning, state to share of its turns)."""
    found: dict[tuple[str, str], list[tuple[float, dict[str, float]]]] = defaultdict(list)
    for sample in story.samples:
        for key in sorted(sample.counts):
            found[key].append((_days(story, sample), _shares(sample.counts[key])))
    return dict(found)


def line(samples: Sequence[tuple[float, dict[str, float]]], days: float, width: int) -> str:
    """The healthy share over ``days`` in ``width`` characters."""
    blocks = []
    for column in range(width):
        until = days * (column + 1) / width
        healthy = [shares["healthy"] for day, shares in samples if day <= until]
        blocks.append(_BLOCKS[round((healthy[-1] if healthy else 0.0) * (len(_BLOCKS) - 1))])
    return "".join(blocks)


def svg(story: Story) -> str:
    """A strip for each region of each rollout: shares of its machines over time, stacked."""
    rows = progress(story)
    height = _TOP + len(rows) * (_HEIGHT + 14) + 50
    scenario = story.scenario
    title = (
        f"Simulated: {scenario.machines} machines, seed {scenario.seed}, hotpatch "
        f"{scenario.hotpatch}; {len(story.violations)} violations"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="22" font-size="15">{escape(title)}</text>',
        *(_key(number, *state) for number, state in enumerate(_STATES)),
    ]
    for number, ((rollout, region), samples) in enumerate(rows.items()):
        top = _TOP + number * (_HEIGHT + 14)
        parts.append(f'<text x="10" y="{top + 26}">{escape(region)}</text>')
        parts.append(f'<text x="10" y="{top + 42}" fill="#666">{escape(rollout)}</text>')
        parts += _strip(samples, top, story.days)
    parts += _axis(story.days, height - 36)
    return "\n".join([*parts, "</svg>", ""])


def _days(story: Story, sample: Sample) -> float:
    return (sample.time - story.scenario.begins) / DAY_S


def _shares(counts: dict[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    flying = counts.get("started", 0) + counts.get("soaking", 0)
    return {
        "healthy": counts.get("healthy", 0) / total,
        "failed": counts.get("failed", 0) / total,
        "in flight": flying / total,
    }


def _key(number: int, name: str, colour: str) -> str:
    x = _LEFT + number * 110
    square = f'<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/>'
    return f'{square}<text x="{x + 18}" y="44">{name}</text>'


def _strip(samples: Sequence[tuple[float, dict[str, float]]], top: int, days: float) -> list[str]:
    parts = [f'<rect x="{_LEFT}" y="{top}" width="{_PLOT}" height="{_HEIGHT}" fill="{_GREY}"/>']
    base = [0.0] * len(samples)
    xs = [_LEFT + _PLOT * min(1.0, day / days) for day, _ in samples]
    for name, colour in _STATES:
        tops = [low + shares[name] for low, (_, shares) in zip(base, samples, strict=True)]
        upper = [f"{x:.1f},{top + _HEIGHT * (1 - y):.1f}" for x, y in zip(xs, tops, strict=True)]
        lower = [f"{x:.1f},{top + _HEIGHT * (1 - y):.1f}" for x, y in zip(xs, base, strict=True)]
        points = " ".join([*upper, *reversed(lower)])
        parts.append(f'<polygon points="{points}" fill="{colour}"/>')
        base = tops
    return parts


def _axis(days: float, y: int) -> list[str]:
    every = max(1, round(days / 10))
    return [
        f'<text x="{_LEFT + _PLOT * day / days:.0f}" y="{y + 14}" fill="#666">day {day}</text>'
        for day in range(0, int(days) + 1, every)
    ]
