"""Off-peak windows that are open now, whatever the time is."""

from __future__ import annotations

from datetime import UTC, datetime


def open_now() -> dict[str, object]:
    """Settings of rollouts: open for the next half hour wherever the clock shows whole hours like
    this one's."""
    shut = (datetime.now(UTC).minute + 40) % 60
    return {
        "window_opens": f"12:{(shut + 1) % 60:02}" if shut < 59 else "13:00",
        "window_closes": f"12:{shut:02}",
    }
