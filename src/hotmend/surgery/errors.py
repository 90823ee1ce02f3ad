"""What goes wrong at a process, as opposed to what is refused.

::

    SurgeryError
    ├── ProcessGone       it ended, or became another program, meanwhile
    ├── NotPermitted      the kernel does not let us at it
    ├── ProcessError      reading or writing it failed
    ├── LedgerError       the ledger cannot be read or written
    ├── OrderError        a surgeon does not do what it was asked to
    └── Refused           carries the Refusal that is the answer for this process
"""

from __future__ import annotations

from hotmend.model.refusal import Refusal


class SurgeryError(Exception):
    """One sentence for people."""


class ProcessGone(SurgeryError):
    """The process ended, or its pid means another one now."""


class NotPermitted(SurgeryError):
    """Ask again as root, or as the user whose process it is."""


class ProcessError(SurgeryError):
    """An operation on the process failed; nothing was left half done."""


class LedgerError(SurgeryError):
    """The ledger is damaged or cannot be written."""


class OrderError(SurgeryError):
    """An order is no order, or disagrees with the package that came with it."""


class Refused(SurgeryError):
    """The answer for this process is no."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
