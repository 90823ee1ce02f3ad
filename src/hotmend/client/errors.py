"""What goes wrong between a user and the control plane.

ClientError
├── Unreachable    nobody answers there
├── NotPermitted   who asks may not, or is not known (any more)
└── LoginNeeded    nobody has logged in here
"""


class ClientError(Exception):
    """The control plane says no, or what is not understood: its sentence."""


class Unreachable(ClientError):
    """Nobody answers at the address, or not with the certificate that was pinned."""


class NotPermitted(ClientError):
    """The token has ended, or the role does not allow it."""


class LoginNeeded(NotPermitted):
    """There is no login."""
