"""A machine becomes one of a fleet: a one-time code for a certificate."""

from __future__ import annotations

from pathlib import Path

from hotmend.agent import facts
from hotmend.agent.errors import AgentError
from hotmend.agent.folder import AgentFolder, Enrolment, write
from hotmend.agent.identity import new_request
from hotmend.agent.link import HttpsLink
from hotmend.model.agent_messages import Enrol
from hotmend.release.errors import RepositoryError
from hotmend.release.repository import client


def enrol(folder: AgentFolder, server: str, code: str, authority: Path, root: Path | None) -> str:
    """The resource's id. ``authority``: the control plane's certificate authority; ``root``: the
    publishers' root.json, which comes from them and not from the control plane. Raises AgentError.
    """
    server = server.rstrip("/")
    if not server.startswith("https://"):
        raise AgentError(f"{server} is not an https:// address")
    folder.make()
    try:
        write(folder.authority, authority.read_bytes())
        if root is not None:
            client.trust(folder.repository_metadata, root)
    except OSError as error:
        raise AgentError(f"{error.filename}: {error.strerror}") from None
    except RepositoryError as error:
        raise AgentError(str(error)) from None
    known = facts.facts()
    key, request = new_request(known.host)
    link = HttpsLink(server, folder.authority, None)
    enrolled = link.enrol(Enrol(code, request.decode(), known))
    folder.enrol(
        Enrolment(server, enrolled.machine, enrolled.resource, enrolled.log_key),
        key + enrolled.certificate.encode(),
    )
    return enrolled.resource
