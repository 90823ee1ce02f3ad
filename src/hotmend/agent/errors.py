"""What goes wrong on a machine."""

from __future__ import annotations


class AgentError(Exception):
    """A sentence for the person at the command line, or for the control plane's history."""


class LinkError(AgentError):
    """The control plane was not reached, or did not answer as one does; ask again later."""


class RefusedByServer(AgentError):
    """The control plane says no, and asking again does not help."""
