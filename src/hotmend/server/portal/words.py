"""What the portal says, in the viewer's language: gettext catalogues, read by Babel once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from babel.messages.pofile import read_po
from starlette.requests import Request

ENGLISH, CHINESE = "en", "zh-CN"
LANGUAGES = {ENGLISH: "English", CHINESE: "简体中文"}
COOKIE = "hotmend-language"
_FILES = {CHINESE: "zh_CN.po"}


@dataclass(frozen=True)
class Words:
    """``language``: one of ``LANGUAGES``."""

    language: str

    def gettext(self, text: str) -> str:
        """``text`` itself where there is no other."""
        return _catalogue(self.language).get(text, text)

    def ngettext(self, one: str, many: str, number: int) -> str:
        """English has two forms; Chinese has one, which is that of ``many``."""
        if self.language == ENGLISH:
            return one if number == 1 else many
        return self.gettext(many)


def asked_for(request: Request) -> str:
    """The language of somebody's browser."""
    accepted = request.headers.get("accept-language", "")
    return preferred(request.cookies.get(COOKIE, ""), accepted)


def preferred(written: str, accepted: str) -> str:
    """``written``: what the viewer chose, "" for nothing; ``accepted``: the browser's
    Accept-Language."""
    if written in LANGUAGES:
        return written
    first = accepted.split(",")[0].strip().lower()
    return CHINESE if first.startswith("zh") else ENGLISH


@cache
def _catalogue(language: str) -> dict[str, str]:
    if language not in _FILES:
        return {}
    place = files("hotmend.server.portal").joinpath("locale", _FILES[language])
    with place.open("rb") as file:
        known = read_po(file)
    found = {}
    for message in known:
        # Of a message with a plural the form of many, which is the only one in Chinese.
        name = message.id if isinstance(message.id, str) else message.id[-1]
        text = message.string if isinstance(message.string, str) else (message.string or [""])[-1]
        if name and text:
            found[name] = text
    return found
