"""Answers of a control plane, which may be anybody's by mistake."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from typing import Any

import pytest

from hotmend.agent.link import decoded
from hotmend.model.agent_messages import Order, Polled, RebootSetting, RunKind, Selection

ORDER = Order("1", RunKind.INSTALL, Selection(("Security",), ("a",)), 60.0, RebootSetting.ALWAYS)


WRITTEN = json.loads(json.dumps(asdict(ORDER)))


def test_what_was_written_is_read() -> None:
    polled = Polled((ORDER,), ("2026-11.release.json",))
    assert decoded(json.loads(json.dumps(asdict(polled))), Polled) == polled
    later = asdict(polled) | {"new in a later version": 1}
    assert decoded(json.loads(json.dumps(later)), Polled) == polled


def test_a_whole_number_is_a_time_too() -> None:
    assert decoded({**WRITTEN, "maximum_s": 60}, Order) == ORDER


def test_anything_else_is_an_error_of_three_kinds() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    whole = json.loads(json.dumps(asdict(Polled((ORDER,), ("r",)))))
    wrong = 0
    for _ in range(5000):
        broken = _damaged(whole, chance)
        try:
            decoded(broken, Polled)
        except (TypeError, ValueError, KeyError):
            wrong += 1
    assert wrong > 1000


def _damaged(value: Any, chance: random.Random) -> Any:
    """With one part of it replaced by something else."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        name = chance.choice(list(value))
        return {**value, name: _damaged(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        return [_damaged(value[0], chance), *value[1:]]
    return chance.choice([None, True, -1, 1e308, "", "x", [], {}, [[]], {"id": {}}])


@pytest.mark.parametrize("value", [True, "1", None, [1]])
def test_types_are_not_bent(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        decoded({**WRITTEN, "maximum_s": value}, Order)
