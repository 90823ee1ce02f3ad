"""CommandError: a command cannot do what was asked; one sentence and the documented exit code."""

from hotmend.cli import exit_codes


class CommandError(Exception):
    """``exit_code``: one of cli.exit_codes."""

    def __init__(self, sentence: str, exit_code: int = exit_codes.FAILED) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
