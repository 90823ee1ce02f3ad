"""Entries, checkpoints and notes, as anybody can check them."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotmend.model.audit_log import Checked, Checkpoint, Entry, Note, digest_of, key_hash, parsed

ROOT = bytes(range(32))
NOTE = Note(Checkpoint("hotmend/x", 7, ROOT), key_hash("hotmend/x", b"k" * 32), b"s" * 64)


def written(*subjects: str) -> list[Entry]:
    entries, before = [], Checked().digest
    for number, subject in enumerate(subjects, 1):
        blank = Entry(number, 1.5, "me", "did", subject, {"b": 1, "a": [2]}, "")
        entries.append(replace(blank, digest=digest_of(before, blank)))
        before = entries[-1].digest
    return entries


def test_a_log_is_taken_as_it_was_written() -> None:
    log = Checked()
    assert all(log.take(entry) for entry in written("a", "b", "c")) and log.size == 3


@pytest.mark.parametrize(
    "change",
    [
        {"number": 3},
        {"time": 2.5},
        {"who": "you"},
        {"what": "undid"},
        {"subject": "z"},
        {"details": {"b": 1, "a": [3]}},
        {"digest": "0" * 64},
    ],
)
def test_no_field_may_differ(change: dict[str, object]) -> None:
    first, second = written("a", "b")
    log = Checked()
    assert log.take(first) and not log.take(replace(second, **change))  # type: ignore[arg-type]
    assert log.take(second), "what was refused has changed nothing"


def test_a_note_is_read_as_it_was_written() -> None:
    assert parsed(NOTE.text()) == NOTE
    assert NOTE.text().startswith("hotmend/x\n7\n")


@given(st.integers(0, len(NOTE.text()) - 1), st.characters(max_codepoint=127))
def test_what_is_no_note_is_no_note(at: int, letter: str) -> None:
    """One letter differs: it is refused, or it says something else."""
    text = NOTE.text()
    changed = text[:at] + letter + text[at + 1 :]
    if changed == text:
        return
    with contextlib.suppress(ValueError):
        assert parsed(changed) != NOTE or changed.rstrip() == text.rstrip()


@pytest.mark.parametrize(
    "text", ["", "\n\n", "a\n1\n!\n\n\u2014 a b\n", "a\nx\nAA==\n\n\u2014 a AA==\n"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no checkpoint"):
        parsed(text)
