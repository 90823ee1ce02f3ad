"""What a password must be, and how often one may be guessed."""

from __future__ import annotations

import pytest

from hotmend.server.errors import ServerError
from hotmend.server.identity import passwords
from hotmend.server.identity.passwords import Guesses

GOOD = "seven quiet herons at dusk"


@pytest.mark.parametrize(
    ("password", "name"),
    [
        ("", "ann"),
        ("short horse", "ann"),
        ("x" * 129, "ann"),
        ("passwordpassword", "ann"),
        ("123456789012", "ann"),
        ("qwertyuiopasdf", "ann"),
        ("aaaaaaaaaaaaaaaa", "ann"),
        ("annabel.lee.smith", "annabel.lee.smith"),
        ("hotmendhotmend", "ann"),
    ],
)
def test_a_password_that_is_guessed_is_refused(password: str, name: str) -> None:
    with pytest.raises(ServerError, match="password"):
        passwords.check(password, name)
    passwords.check(GOOD, name)


def test_a_name_may_be_tried_ten_times_from_one_place() -> None:
    guesses = Guesses()
    for _ in range(10):
        assert guesses.allowed("ann", "here", 1000.0)
        guesses.wrong("ann", "here")
    assert not guesses.allowed("ann", "here", 1000.0)
    assert guesses.allowed("ann", "elsewhere", 1000.0), "its owner is not kept out"
    assert guesses.allowed("bob", "here", 1000.0)
    assert guesses.allowed("ann", "here", 1000.0 + 15 * 60)


def test_a_name_may_be_tried_a_hundred_times_from_everywhere() -> None:
    guesses = Guesses()
    for number in range(100):
        assert guesses.allowed("ann", f"place {number}", 1000.0)
        guesses.wrong("ann", f"place {number}")
    assert not guesses.allowed("ann", "one more", 1000.0)
