"""What a password must be, and how often one may be guessed.

The rules are NIST SP 800-63B's: long enough, not easily guessed, no recipe of digits and signs.
"""

from __future__ import annotations

from zxcvbn import zxcvbn

from hotmend.server.errors import ServerError

LEAST, MOST = 12, 128
_LEAST_SCORE = 3  # of 4: safe against 10^8 guesses
_WINDOW_S = 15 * 60.0
_GUESSES_FROM_ONE_PLACE = 10
_GUESSES_OF_ONE_NAME = 100
_MOST_REMEMBERED = 100_000


def check(password: str, name: str) -> None:
    """Raises ServerError for one that is refused to the person ``name``."""
    if not LEAST <= len(password) <= MOST:
        raise ServerError(f"a password has {LEAST} to {MOST} characters")
    judged = zxcvbn(password[:72], user_inputs=[name, "hotmend"])
    if judged["score"] < _LEAST_SCORE:
        because = judged["feedback"]["warning"] or "it is easily guessed"
        raise ServerError(f"this password is not taken: {because.rstrip('.')}")


class Guesses:
    """Wrong secrets of the last quarter of an hour, in this process. From one place a name may be
    tried ten times, so that nobody else's guesses keep its owner out; from everywhere a hundred."""

    def __init__(self) -> None:
        self._began = 0.0
        self._wrong: dict[tuple[str, str], int] = {}

    def allowed(self, name: str, place: str, now: float) -> bool:
        """Whether another try of ``name`` from ``place`` (an address) is looked at."""
        over = not 0 <= now - self._began < _WINDOW_S  # clocks are put back, too
        if over or len(self._wrong) > _MOST_REMEMBERED:
            self._began, self._wrong = now, {}
        here = self._wrong.get((name, place), 0) < _GUESSES_FROM_ONE_PLACE
        return here and self._wrong.get((name, ""), 0) < _GUESSES_OF_ONE_NAME

    def wrong(self, name: str, place: str) -> None:
        """It was."""
        for key in ((name, place), (name, "")):
            self._wrong[key] = self._wrong.get(key, 0) + 1
