"""The body of installPatches, as the SDKs and az write it. Pure.

The SDK writes durations as PT02H00M00S and az as PT2H; az sends an empty ``linuxParameters`` to
Windows, too; KB numbers come with and without "KB".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hotmend.model.agent_messages import Order, RebootSetting, RunKind, Selection
from hotmend.release.classification import Classification
from hotmend.server.arm.bodies import object_in
from hotmend.server.errors import invalid

MOST = timedelta(hours=4)
_WORDS = {word.value.lower(): word.value for word in Classification}
_DURATION = TypeAdapter(timedelta)
_TIME = TypeAdapter(datetime)


def parsed(body: dict[str, Any], identifier: str) -> Order:
    """The order that it asks for. Raises ArmError."""
    windows, linux = object_in(body, "windowsParameters"), object_in(body, "linuxParameters")
    classifications = tuple(
        _classification(word)
        for parameters in (windows, linux)
        for word in _texts(parameters, "classificationsToInclude")
    )
    include = (
        *map(_kb, _texts(windows, "kbNumbersToInclude")),
        *_texts(windows, "patchNameMasksToInclude"),
        *_texts(linux, "packageNameMasksToInclude"),
    )
    exclude = (
        *map(_kb, _texts(windows, "kbNumbersToExclude")),
        *_texts(windows, "patchNameMasksToExclude"),
        *_texts(linux, "packageNameMasksToExclude"),
    )
    if not classifications and not include:
        raise invalid(
            "At least one classification, or one KB number or package, must be given to install.",
            "classificationsToInclude",
        )
    without_reboot = windows.get("excludeKbsRequiringReboot") or False
    if not isinstance(without_reboot, bool):
        raise invalid("'excludeKbsRequiringReboot' is true or false.", "excludeKbsRequiringReboot")
    selection = Selection(
        classifications, include, exclude, without_reboot, _published_until(windows, linux)
    )
    return Order(
        identifier, RunKind.INSTALL, selection, _duration(body).total_seconds(), _reboot(body)
    )


def _duration(body: dict[str, Any]) -> timedelta:
    value = body.get("maximumDuration", "PT3H55M")
    try:
        found = _DURATION.validate_python(value if isinstance(value, str) else None)
    except (ValidationError, OverflowError):
        raise invalid(
            f"'{str(value)[:40]}' is not an ISO 8601 duration such as PT2H.", "maximumDuration"
        ) from None
    if not timedelta(0) < found <= MOST:
        raise invalid("The maximum duration is more than 0 and at most 4 hours.", "maximumDuration")
    return found


def _reboot(body: dict[str, Any]) -> RebootSetting:
    value = body.get("rebootSetting")
    for setting in RebootSetting:
        if isinstance(value, str) and value.lower() == setting.value.lower():
            return setting
    words = ", ".join(setting.value for setting in RebootSetting)
    raise invalid(f"'rebootSetting' is one of {words}.", "rebootSetting")


def _published_until(*parameters: dict[str, Any]) -> float | None:
    value = next(
        (p["maxPatchPublishDate"] for p in parameters if p.get("maxPatchPublishDate")), None
    )
    if value is None:
        return None
    try:
        found = _TIME.validate_python(value if isinstance(value, str) else None)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValidationError, OverflowError, ValueError):
        raise invalid(f"'{str(value)[:40]}' is not a time.", "maxPatchPublishDate") from None


def _classification(word: str) -> str:
    known = _WORDS.get(word.lower())
    if known is None:
        raise invalid(
            f"'{word[:40]}' is not a classification; they are {', '.join(_WORDS.values())}.",
            "classificationsToInclude",
        )
    return known


def _kb(number: str) -> str:
    digits = number.upper().removeprefix("KB")
    if not digits.isdecimal():
        raise invalid(f"'{number[:40]}' is not a KB number such as 5068840.", "kbNumbers")
    return f"KB{digits}"


def _texts(parameters: dict[str, Any], name: str) -> tuple[str, ...]:
    value = parameters.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise invalid(f"'{name}' is a list of texts.", name)
    if len(value) > 1000 or any(len(one) > 256 for one in value):
        raise invalid(f"'{name}' is too long.", name)
    return tuple(value)
