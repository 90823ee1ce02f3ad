"""What the demonstration looks like: colour on a terminal, plain lines elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager

from rich.console import Console
from rich.text import Text


class Screen:
    """Lines of a few kinds. Every mark has a shape, so that colour is never all there is."""

    def __init__(self, *, plain: bool) -> None:
        self._console = (
            Console(force_terminal=False, no_color=True, highlight=False)
            if plain
            else Console(highlight=False)
        )
        self._number = 0

    def title(self, text: str) -> None:
        self._line(text, "bold")

    def step(self, text: str) -> None:
        """A new step of the story."""
        self._number += 1
        self._line("")
        self._line(f"{self._number}. {text}", "bold cyan")

    def command(self, text: str) -> None:
        self._line(f"   $ {text}", "dim")

    def good(self, text: str) -> None:
        self._line(f"   ✓ {text}", "green")

    def bad(self, text: str) -> None:
        """Not a failure of the demonstration: a flaw, a refusal."""
        self._line(f"   ✗ {text}", "red")

    def open(self, text: str) -> None:
        self._line(f"   ? {text}", "yellow")

    def note(self, text: str) -> None:
        self._line(f"     {text}", "dim")

    def busy(self, text: str) -> AbstractContextManager[object]:
        """Shown while something takes long; nothing off a terminal."""
        return self._console.status(text)

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)
