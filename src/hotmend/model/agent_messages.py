"""What an agent and its control plane say to each other, as JSON over mutual TLS.

Neither may import the other; these are the words they share. Who is speaking is never in a
message: the certificate says it. Times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class RunKind(StrEnum):
    """What a machine can be asked to do, or does by itself. *revert*: take hotpatches, which the
    selection includes by their articles, out of memory; it comes back as an installation."""

    ASSESS = "assess"
    INSTALL = "install"
    RESTART = "restart"
    REVERT = "revert"


class RunStatus(StrEnum):
    """Azure's words (PatchOperationStatus)."""

    UNKNOWN = "Unknown"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    SUCCEEDED = "Succeeded"
    COMPLETED_WITH_WARNINGS = "CompletedWithWarnings"


class InstallationState(StrEnum):
    """Azure's words (PatchInstallationState)."""

    UNKNOWN = "Unknown"
    INSTALLED = "Installed"
    FAILED = "Failed"
    EXCLUDED = "Excluded"
    NOT_SELECTED = "NotSelected"
    PENDING = "Pending"


class RebootStatus(StrEnum):
    """Azure's words (VMGuestPatchRebootStatus)."""

    UNKNOWN = "Unknown"
    NOT_NEEDED = "NotNeeded"
    REQUIRED = "Required"
    STARTED = "Started"
    FAILED = "Failed"
    COMPLETED = "Completed"


class RebootSetting(StrEnum):
    """Azure's words (VMGuestPatchRebootSetting)."""

    IF_REQUIRED = "IfRequired"
    NEVER = "Never"
    ALWAYS = "Always"


@dataclass(frozen=True)
class Facts:
    """What a machine is. ``booted``: when; ``zone``: its time zone's IANA name."""

    host: str
    os_name: str
    os_version: str
    kernel: str
    agent: str
    booted: float
    zone: str = "Etc/UTC"


@dataclass(frozen=True)
class Enrol:
    """``request``: a certificate request, PEM; ``simulated``: there is no machine behind it."""

    code: str
    request: str
    facts: Facts
    simulated: bool = False


@dataclass(frozen=True)
class Enrolled:
    """``resource``: the machine's id for Azure's clients; ``certificate``, PEM; ``log_key``: of
    the audit log, base64."""

    machine: str
    resource: str
    certificate: str
    log_key: str = ""


@dataclass(frozen=True)
class Renew:
    """A new certificate, for the machine of the one that this comes with."""

    request: str


@dataclass(frozen=True)
class Renewed:
    """PEM."""

    certificate: str


@dataclass(frozen=True)
class Selection:
    """What to install. A patch is chosen by its classification, or by its article or name; what
    is excluded is not, whatever chose it. Masks: ``*`` stands for any text. ``baseline_first``:
    what brings a machine to the baseline is installed even if ``only_without_reboot``, and asks for
    the restart without which it is not there."""

    classifications: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    only_without_reboot: bool = False
    published_until: float | None = None
    baseline_first: bool = False


@dataclass(frozen=True)
class Order:
    """``maximum_s``: how long an installation may take; it begins when the machine gets it.
    ``until``: it must have begun by then, or it is void. ``release``: the one that it brings, by
    the name of its signed description; whoever cannot read all of that has not got it."""

    id: str
    kind: RunKind
    selection: Selection = Selection()
    maximum_s: float = 0.0
    reboot: RebootSetting = RebootSetting.NEVER
    until: float | None = None
    release: str = ""


@dataclass(frozen=True)
class Poll:
    """``wait_s``: how long the answer may wait for an order; ``known``: orders that need not come
    again; ``log_size``: of the audit log's checkpoint that the machine remembers."""

    wait_s: float
    known: tuple[str, ...] = ()
    log_size: int = 0


@dataclass(frozen=True)
class Polled:
    """``releases``: names of signed targets, the control plane's selection; ``checkpoint``: of
    the audit log, a signed note, where there is a newer one; ``consistency``: that the log only
    grew since ``log_size``, base64."""

    orders: tuple[Order, ...] = ()
    releases: tuple[str, ...] = ()
    checkpoint: str = ""
    consistency: tuple[str, ...] = ()


@dataclass(frozen=True)
class AvailablePatch:
    """``article``: by which it is tracked, such as libxml2=2.9.14+dfsg-1.3~deb12u6; ``hotpatch``:
    it goes into running processes. ``outdated``: processes that run the old code; ``patched``:
    those that run the fixed code in memory. ``baseline_first``: why the hotpatch beside it is not
    for this machine, which this brings to the baseline; "" where it is."""

    article: str
    name: str
    version: str
    classification: str
    reboot: str
    hotpatch: bool
    kb: str = ""
    severity: str = ""
    advisories: tuple[str, ...] = ()
    published: str = ""
    outdated: tuple[int, ...] = ()
    patched: tuple[int, ...] = ()
    baseline_first: str = ""


class Needs(StrEnum):
    """What ends the old code of a process."""

    NOTHING = "nothing"
    RESTART = "restart-of-the-process"
    REBOOT = "reboot"


@dataclass(frozen=True)
class StaleProcess:
    """A process that maps ``files`` which the disk has no more, or not as they were; ``needs``:
    *nothing* where a hotpatch has replaced what was wrong with them."""

    pid: int
    command: str
    files: tuple[str, ...]
    needs: Needs


@dataclass(frozen=True)
class Assessment:
    """``patches``: what could be installed; ``installed``: articles that are, on the disk and in
    every process. ``unexamined``: processes that could not be looked at; ``unread``: releases that
    could not be read whole, of which the machine may lack anything."""

    reboot_pending: bool
    patches: tuple[AvailablePatch, ...]
    installed: tuple[str, ...] = ()
    unexamined: int = 0
    stale: tuple[StaleProcess, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProcessResult:
    """What became of one process; ``kind`` is an OutcomeKind."""

    pid: int
    command: str
    kind: str
    pause_ms: float | None = None
    because: str = ""


@dataclass(frozen=True)
class PatchResult:
    """``because``: why it is not installed, or what is left to do."""

    article: str
    name: str
    version: str
    classification: str
    state: InstallationState
    kb: str = ""
    because: str = ""
    processes: tuple[ProcessResult, ...] = ()


@dataclass(frozen=True)
class Installation:
    """``window_exceeded``: time ran out before everything was tried."""

    patches: tuple[PatchResult, ...]
    reboot: RebootStatus
    window_exceeded: bool = False


@dataclass(frozen=True)
class Run:
    """How a run stands: an order's, by its id, or one that the machine began by itself.
    ``problem``: a sentence, when it failed."""

    id: str
    kind: RunKind
    started: float
    status: RunStatus
    finished: float | None = None
    assessment: Assessment | None = None
    installation: Installation | None = None
    problem: str = ""


class Ending(StrEnum):
    """How a process that had a hotpatch ended. *crashed*: by a signal that says its code went
    wrong; *stopped*: by another one; *unknown*: it is gone, and nobody saw why."""

    EXITED = "exited"
    STOPPED = "stopped"
    CRASHED = "crashed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Ended:
    """A patched process that is gone. ``number``: of its signal, or its exit status."""

    pid: int
    command: str
    time: float
    ending: Ending
    number: int = 0


@dataclass(frozen=True)
class Drift:
    """A patched process whose memory is not as it was written, or could not be read again."""

    pid: int
    command: str
    because: str


@dataclass(frozen=True)
class ProbeResult:
    """What a probe of the machine's owner saw; ``took_s``: how long it took."""

    name: str
    healthy: bool
    time: float
    took_s: float
    because: str = ""


@dataclass(frozen=True)
class Health:
    """How a machine is. ``time``: when this was put together; ``verified``: when patched memory
    was last read again, None for not yet; ``intact``: processes in which all of it was as
    written; ``ended``: patched processes that are gone, of the last day, the newest last."""

    time: float
    verified: float | None = None
    intact: int = 0
    drifted: tuple[Drift, ...] = ()
    ended: tuple[Ended, ...] = ()
    probes: tuple[ProbeResult, ...] = ()


@dataclass(frozen=True)
class Report:
    """``number`` grows with each report of a machine: an earlier one changes nothing."""

    number: int
    time: float
    facts: Facts | None = None
    run: Run | None = None
    health: Health | None = None


@dataclass(frozen=True)
class Reported:
    """It is in the database, or (not ``accepted``) it never will be, and why."""

    accepted: bool
    because: str = field(default="")
