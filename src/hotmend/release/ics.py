"""The calendar as iCalendar (RFC 5545), for whatever people keep their dates in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from icalendar import Calendar, Event

from hotmend.release.calendar import Entry
from hotmend.release.release import Kind


def ics(product: str, entries: Iterable[Entry], now: datetime) -> bytes:
    """One all-day event for each release; those that restart say so. ``now``: when it is made."""
    calendar = Calendar()
    calendar.add("prodid", "-//Hotmend//release calendar//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", f"Hotpatches of {product}")
    for entry in entries:
        title = f"{product}: {entry.kind}"
        article = entry.release.article if entry.release is not None else "planned"
        calendar.add_component(_event(product, entry.day, title, article, entry, now))
        for release in entry.out_of_band:
            if release.released is not None:
                title = f"{product}: {release.kind}, out of band"
                event = _event(product, release.released, title, release.article, entry, now)
                calendar.add_component(event)
    return bytes(calendar.to_ical())


def _event(product: str, day: date, title: str, article: str, entry: Entry, now: datetime) -> Event:
    event = Event()
    key = f"{product} {entry.slot.month} {title} {article}"
    event.add("uid", hashlib.sha256(key.encode()).hexdigest()[:32] + "@hotmend")
    event.add("dtstamp", now.astimezone(UTC))
    event.add("dtstart", day)
    event.add("dtend", day + timedelta(days=1))
    restart = "restart needed" if entry.kind is not Kind.HOTPATCH else "no restart"
    event.add("summary", f"{title} ({article}; {restart})")
    event.add("transp", "TRANSPARENT")
    if entry.differs:
        event.add("description", entry.differs)
    return event
