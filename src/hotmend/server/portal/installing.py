"""What a person asks for in a form, as the body of installPatches. Pure but for the form."""

from __future__ import annotations

import re
from typing import Any

from starlette.datastructures import FormData

from hotmend.release.classification import Classification
from hotmend.server.errors import ArmError

LINUX = (Classification.CRITICAL, Classification.SECURITY, Classification.OTHER)
WINDOWS = tuple(one for one in Classification if one is not Classification.OTHER)
MOST_MINUTES = 235
REBOOTS = ("IfRequired", "Never", "Always")


def body(form: FormData, *, windows: bool) -> dict[str, Any]:
    """Of installPatches, for one system or the other. Raises ArmError."""
    reboot = str(form.get("reboot", ""))
    return {
        "maximumDuration": f"PT{minutes(form)}M",
        "rebootSetting": reboot,
        **parameters(form, windows=windows),
    }


def parameters(form: FormData, *, windows: bool) -> dict[str, Any]:
    """Which updates, by system. A KB number may come with or without its letters."""
    classes = [str(word) for word in form.getlist("classification")]
    include, exclude = words(form, "include"), words(form, "exclude")
    until = str(form.get("until", ""))
    last = {"maxPatchPublishDate": f"{until}T23:59:59Z"} if until else {}
    if windows:
        return {
            "windowsParameters": {
                "classificationsToInclude": classes,
                "kbNumbersToInclude": include,
                "kbNumbersToExclude": exclude,
                "excludeKbsRequiringReboot": form.get("without_reboot") == "yes",
                **last,
            }
        }
    return {
        "linuxParameters": {
            "classificationsToInclude": classes,
            "packageNameMasksToInclude": include,
            "packageNameMasksToExclude": exclude,
            **last,
        }
    }


def minutes(form: FormData) -> int:
    """The maximum duration. Raises ArmError."""
    text = str(form.get("minutes", MOST_MINUTES))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= MOST_MINUTES:
        raise ArmError(
            400, "InvalidParameter", f"The maximum duration is from 1 to {MOST_MINUTES} minutes."
        )
    return int(text)


def words(form: FormData, name: str) -> list[str]:
    """Several in a field, by commas, blanks or lines."""
    return [word for word in re.split(r"[\s,;]+", str(form.get(name, ""))) if word]
