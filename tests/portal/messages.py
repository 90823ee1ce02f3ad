"""Every text that the portal can say, as its templates and modules have it."""

from __future__ import annotations

from pathlib import Path

from babel.messages.extract import extract_from_dir

import hotmend.server.portal

ROOM = Path(hotmend.server.portal.__file__).parent
_METHODS = [("**/*.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]
_OPTIONS = {"templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true"}}


def said() -> set[str]:
    """The form of many where there are two: the only one that Chinese has."""
    found = extract_from_dir(ROOM, _METHODS, _OPTIONS, keywords={"_": None, "ngettext": (1, 2)})
    return {text if isinstance(text, str) else text[-1] for _, _, text, _, _ in found}
