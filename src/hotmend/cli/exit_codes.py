"""What a command's exit status says. Documented in docs/exit-codes.md; never renumbered."""

DONE = 0
FAILED = 1
USAGE = 2
NOT_PERMITTED = 3
SERVER_UNREACHABLE = 4

# From 100 on nothing went wrong: there is something to know.
UPDATES_AVAILABLE = 100
SECURITY_UPDATES = 101
REBOOT_REQUIRED = 102
NEEDS_RESTART = 103
WAITING = 104
OUTSIDE_WINDOW = 105
