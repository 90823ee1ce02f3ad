"""Both languages say everything."""

from __future__ import annotations

import re

import pytest

from hotmend.server.portal.words import CHINESE, ENGLISH, Words, preferred
from portal import messages
from server.conftest import Plane

# What is the same in both.
SAME = {"PID", "OpenVEX", "zh-CN"}
_PLACE = re.compile(r"%\((\w+)\)s")


def untranslated(words: Words, texts: set[str]) -> set[str]:
    return {text for text in texts if words.gettext(text) == text} - SAME


def test_every_text_has_a_translation_with_the_same_places() -> None:
    texts, chinese = messages.said(), Words(CHINESE)
    assert len(texts) > 300
    assert not untranslated(chinese, texts)
    for text in texts:
        assert sorted(_PLACE.findall(text)) == sorted(_PLACE.findall(chinese.gettext(text))), text
        assert text.count("%%") == chinese.gettext(text).count("%%"), text


def test_a_text_without_a_translation_is_found() -> None:
    assert untranslated(Words(CHINESE), {"A text that nobody has translated"})


def test_no_template_says_a_word_that_is_not_marked() -> None:
    """Outside tags, expressions and comments there are only signs and names."""
    allowed = {"Hotmend", "PID", "OpenVEX", "UTC", "Etc", "ms", "#"}
    for path in sorted((messages.ROOM / "templates").glob("*.html")):
        text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", " ", path.read_text(), flags=re.S)
        text = re.sub(r"<code>[^<]*</code>|<title>.*?</title>", " ", text, flags=re.S)
        text = re.sub(r"<[^<>]*>", " ", text, flags=re.S)
        text = re.sub(r"(fill|class)=\"[^\"]*\"", " ", text)  # of a macro that gives an attribute
        words = set(re.findall(r"[A-Za-z]{2,}", text)) - allowed
        assert not words, f"{path.name}: {words}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hotpatch", "热补丁"),
        ("Baseline", "基线"),
        ("Assess now", "立即评估"),
        ("Install updates now", "立即安装更新"),
        ("Update compliance", "更新符合性"),
        ("Update history", "更新历史记录"),
    ],
)
def test_words_of_the_product_are_azures(text: str, expected: str) -> None:
    assert Words(CHINESE).gettext(text) == expected
    assert Words(ENGLISH).gettext(text) == text


def test_the_plural_is_the_languages() -> None:
    one, many = "%(num)s day", "%(num)s days"
    assert Words(ENGLISH).ngettext(one, many, 1) == one
    assert Words(ENGLISH).ngettext(one, many, 2) == many
    assert Words(CHINESE).ngettext(one, many, 1) == "%(num)s 天"


@pytest.mark.parametrize(
    ("written", "accepted", "expected"),
    [
        ("", "zh-CN,zh;q=0.9,en;q=0.8", CHINESE),
        ("", "de-DE,de", ENGLISH),
        ("", "", ENGLISH),
        ("en", "zh-CN", ENGLISH),
        ("xx", "zh-TW", CHINESE),
    ],
)
def test_the_language_is_the_chosen_one_or_the_browsers(
    written: str, accepted: str, expected: str
) -> None:
    assert preferred(written, accepted) == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/login"),
        ("GET", "/first-admin?code=wrong"),
        ("POST", "/login"),
        ("POST", "/logout"),
        ("POST", "/first-admin"),
    ],
)
def test_the_door_speaks_the_browsers_language(plane: Plane, method: str, path: str) -> None:
    """In Chinese no English word is left; in English it says the same in English."""
    texts = {}
    for language in ("zh-CN", "en"):
        headers = {"Accept-Language": language, "Content-Type": "application/x-www-form-urlencoded"}
        # Without a form's words: logging in fails, and so does logging out.
        answer = plane.pool.request(method, plane.base + path, headers=headers, body="name=x")
        page = answer.data.decode()
        assert f'<html lang="{language}"' in page
        english = r"<p [^>]*lang=\"en\".*?</p>"  # in the API's words, and said to be
        texts[language] = re.sub(rf"{english}|<[^<>]*>", " ", page)
    assert set(re.findall(r"[A-Za-z]{2,}", texts["zh-CN"])) == {"Hotmend"}
    assert len(re.findall(r"[A-Za-z]{2,}", texts["en"])) > 1
