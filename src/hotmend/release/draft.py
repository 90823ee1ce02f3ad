"""A release as a draft: a JSON file that a publisher looks at before anything is signed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from hotmend.model.advisory import AdvisoryState, AdvisoryVerdict, Ground
from hotmend.release.classification import Classification
from hotmend.release.errors import CatalogueError
from hotmend.release.parity import Update
from hotmend.release.release import Month

_VERSION = 1


@dataclass(frozen=True)
class Draft:
    """``title``: such as "2026-11 for Debian 12"."""

    title: str
    month: Month
    updates: tuple[Update, ...]


def encode(draft: Draft) -> str:
    content = {
        "version": _VERSION,
        "title": draft.title,
        "month": str(draft.month),
        "updates": [asdict(update) for update in draft.updates],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def decode(text: str, name: str) -> Draft:
    """Raises CatalogueError."""
    try:
        content = json.loads(text)
        if content["version"] != _VERSION:
            raise CatalogueError(f"{name} has version {content['version']}, not {_VERSION}")
        return Draft(
            title=str(content["title"]),
            month=Month.parse(content["month"]),
            updates=tuple(_update(row) for row in content["updates"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CatalogueError(f"{name} is not a release's draft: {error!r}") from None


def _update(row: dict[str, Any]) -> Update:
    return Update(
        package=str(row["package"]),
        old_version=str(row["old_version"]),
        new_version=str(row["new_version"]),
        classification=Classification(row["classification"]),
        advisories=tuple(map(str, row["advisories"])),
        code=bool(row["code"]),
        hotpatch=str(row["hotpatch"]),
        verdicts=tuple(
            AdvisoryVerdict(
                str(v["id"]), AdvisoryState(v["state"]), Ground(v["ground"]), str(v["because"])
            )
            for v in row["verdicts"]
        ),
        left=tuple((str(code), int(number)) for code, number in row["left"]),
        because=str(row["because"]),
    )
