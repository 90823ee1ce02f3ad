"""What a surgeon is asked to do, and what it answers: the only words between it and its worker."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from hotmend.model.outcome import BlockedBy, Outcome, OutcomeKind
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery.errors import OrderError
from hotmend.surgery.publishing import Consistency

MOST_BYTES = 1 << 18
_MOST_PIDS = 10_000


class Verb(StrEnum):
    """What there is to order. *look*, *verify* and *stale* change nothing: which processes a
    package is for, and which of them have it; whether what is in place is as it was written; which
    processes run files that the disk has no more."""

    LOOK = "look"
    VERIFY = "verify"
    STALE = "stale"
    APPLY = "apply"
    REVERT = "revert"


@dataclass(frozen=True)
class Order:
    """``pids``: empty for every process. ``sha256``, ``builds``: of the package that comes with
    it, its digest and the old build-ids that it is for; to revert, "" and () say: whatever is in.
    ``mapped_only``: of ``pids``, those that map none of the builds are passed over in silence.
    ``package``: revert only what is of that package. ``budget_ms`` is for one stop, ``patience_s``
    for all attempts on a process."""

    verb: Verb
    pids: tuple[int, ...] = ()
    sha256: str = ""
    builds: tuple[str, ...] = ()
    mapped_only: bool = False
    package: str = ""
    consistency: Consistency = Consistency.STRICT
    budget_ms: float = 50.0
    patience_s: float = 5.0
    include_init: bool = False


@dataclass(frozen=True)
class Stale:
    """A process that runs code of ``files``, which the disk has no more or not as they were.
    ``builds``: the build-id of each, "" for one that has none or could not be read."""

    pid: int
    command: str
    files: tuple[str, ...]
    builds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """The last answer to an order. ``hidden``: processes that could not be examined; ``damaged``:
    sentences on ledger files that could not be read."""

    hidden: int = 0
    damaged: tuple[str, ...] = ()


def encode_order(order: Order) -> bytes:
    return json.dumps(asdict(order)).encode()


def decode_order(data: bytes) -> Order:
    """Raises OrderError for anything that is not an order."""
    try:
        row = json.loads(data)
        order = Order(
            verb=Verb(row["verb"]),
            pids=tuple(_pid(pid) for pid in row["pids"]),
            sha256=_text(row["sha256"]),
            builds=tuple(_text(build) for build in row["builds"]),
            mapped_only=row["mapped_only"] is True,
            package=_text(row["package"]),
            consistency=Consistency(row["consistency"]),
            budget_ms=_within(row["budget_ms"], 0.1, 10_000),
            patience_s=_within(row["patience_s"], 0, 3600),
            include_init=row["include_init"] is True,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise OrderError(f"not an order: {type(error).__name__} {error}") from None
    if len(order.pids) > _MOST_PIDS:
        raise OrderError(f"an order names at most {_MOST_PIDS} processes")
    return order


Answer = Outcome | Stale | Summary


def encode_answer(answer: Answer | str) -> bytes:
    """An outcome, the summary that ends an order, or the sentence that says why there is none."""
    if isinstance(answer, str):
        return json.dumps({"error": answer}).encode()
    return json.dumps({type(answer).__name__.lower(): asdict(answer)}).encode()


def decode_answer(data: bytes) -> Answer:
    """Raises OrderError with the surgeon's sentence, or for what is no answer."""
    try:
        content = json.loads(data)
        if "error" in content:
            raise OrderError(str(content["error"]))
        if "summary" in content:
            row = content["summary"]
            return Summary(int(row["hidden"]), tuple(map(str, row["damaged"])))
        if "stale" in content:
            row = content["stale"]
            files, builds = tuple(map(str, row["files"])), tuple(map(str, row["builds"]))
            return Stale(int(row["pid"]), str(row["command"]), files, builds)
        return _outcome(content["outcome"])
    except (ValueError, KeyError, TypeError) as error:
        raise OrderError(f"the surgeon's answer is not understood: {error}") from None


def collected(answers: Iterable[Answer]) -> tuple[list[Outcome], Summary]:
    """What a surgeon said of processes, sorted."""
    outcomes, summary = [], Summary()
    for answer in answers:
        if isinstance(answer, Summary):
            summary = answer
        elif isinstance(answer, Outcome):
            outcomes.append(answer)
    return outcomes, summary


def _outcome(row: dict[str, Any]) -> Outcome:
    refusal, blocked = row["refusal"], row["blocked"]
    return Outcome(
        pid=int(row["pid"]),
        command=str(row["command"]),
        kind=OutcomeKind(row["kind"]),
        pause_ms=None if row["pause_ms"] is None else float(row["pause_ms"]),
        refusal=refusal
        and Refusal(
            RefusalCode(refusal["code"]),
            str(refusal["sentence"]),
            str(refusal["subject"]),
            tuple((str(name), str(value)) for name, value in refusal["evidence"]),
        ),
        blocked=blocked
        and BlockedBy(int(blocked["tid"]), str(blocked["function"]), tuple(blocked["stack"])),
    )


def _pid(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 22:
        raise ValueError(f"{value!r} is no pid")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 256:
        raise ValueError("a name has at most 256 characters")
    return value


def _within(value: object, low: float, high: float) -> float:
    if not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{value!r} is not between {low} and {high}")
    return float(value)
