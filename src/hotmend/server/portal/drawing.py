"""Templates: Jinja2, which escapes what is put into them, and what every page shares."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hotmend import __version__
from hotmend.server.portal import charts, labels
from hotmend.server.portal.words import LANGUAGES, Words

if TYPE_CHECKING:
    from hotmend.server.portal.visit import Visit

# (name, path, operation that reads it, glyph of the sprite)
PAGES = (
    ("Overview", "/portal/", "Hotmend.Fleet/machines/read", "gauge"),
    ("Calendar", "/portal/calendar", "Hotmend.Fleet/machines/read", "calendar"),
    ("Machines", "/portal/machines", "Hotmend.Fleet/machines/read", "server"),
    ("Patches", "/portal/patches", "Hotmend.Fleet/machines/read", "patch"),
    ("Rollouts", "/portal/rollouts", "Hotmend.Fleet/rollouts/read", "waves"),
    ("History", "/portal/history", "Hotmend.Fleet/machines/read", "clock"),
    ("Reports", "/portal/reports", "Hotmend.Fleet/machines/read", "chart"),
    ("Settings", "/portal/settings", "Hotmend.Fleet/rolloutSettings/read", "sliders"),
)


class Drawing:
    """One environment for each language, since templates are translated when they are read."""

    def __init__(self) -> None:
        self._environments = {language: _environment(Words(language)) for language in LANGUAGES}

    def page(self, template: str, visit: Visit, **values: Any) -> str:
        """The HTML. ``values``: what the template asks for."""
        made = self._environments[visit.words.language].get_template(template)
        return made.render(visit=visit, pages=PAGES, languages=LANGUAGES, **values)

    def bare(self, template: str, language: str, **values: Any) -> str:
        """A page for somebody who is not logged in."""
        return self._environments[language].get_template(template).render(**values)


def _environment(words: Words) -> Environment:
    made = Environment(
        loader=PackageLoader("hotmend.server.portal"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_callables(  # type: ignore[attr-defined]
        words.gettext, words.ngettext, newstyle=True
    )
    made.globals |= {
        "charts": charts,
        "language": words.language,
        "version": __version__,
        "with_query": with_query,
    }
    made.filters |= {
        "said": lambda word: words.gettext(labels.label(str(word))),
        "deed": lambda word: words.gettext(labels.deed(str(word))),
        "kind": labels.kind,
        "when": when,
        "day": day,
        "number": number,
        "share": share,
        "duration": lambda seconds: duration(seconds, words),
        "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        "pairs_of": lambda names, numbers: [(name, numbers[name]) for name in names],
        "total": lambda numbers, names: sum(numbers[name] for name in names),
        "sum_of": lambda names, numbers: sum(numbers.get(name, 0) for name in names),
    }
    return made


def when(seconds: float | None, zone: str = "") -> Markup:
    """A moment in UTC, which the browser shows by its viewer's clock; ``zone``: the machine's, on
    hover."""
    if seconds is None:
        return Markup("—")
    time = datetime.fromtimestamp(seconds, UTC)
    return Markup('<time datetime="{}" data-zone="{}">{} UTC</time>').format(
        time.isoformat(timespec="seconds"), zone, time.strftime("%Y-%m-%d %H:%M")
    )


def day(seconds: float) -> str:
    """By UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def number(value: float) -> str:
    """With thin gaps: 12 345."""
    return f"{value:,}".replace(",", "\u202f")


def duration(seconds: float | None, words: Words) -> str:
    """In the unit that fits: 40 min, 3.5 h, 12.0 d."""
    if seconds is None:
        return "—"
    unit, length, _, digits = next(unit for unit in labels.UNITS if seconds < unit[2])
    return words.gettext(unit) % {"number": f"{seconds / length:.{digits}f}"}


def share(part: float, whole: float) -> str:
    """In percent."""
    return f"{100 * part / whole:.1f} %" if whole else "—"


def with_query(path: str, **words: str) -> str:
    """``path`` with those of ``words`` that say something."""
    said = {name: word for name, word in words.items() if word}
    return f"{path}?{urlencode(said)}" if said else path
