"""Words of the wire as people read them. English here; the catalogue has the rest."""

from __future__ import annotations


def _(text: str) -> str:
    """Marks a text for the catalogue."""
    return text


LABELS = {
    # Pages.
    "Overview": _("Overview"),
    "Calendar": _("Calendar"),
    "Machines": _("Machines"),
    "Patches": _("Patches"),
    "Rollouts": _("Rollouts"),
    "History": _("History"),
    "Reports": _("Reports"),
    "Settings": _("Settings"),
    # States of a machine, as the overview counts them.
    "live": _("Protected"),
    "waiting": _("Hotpatch waiting"),
    "restart": _("Restart needed"),
    "unknown": _("Unknown"),
    # Update status, in Update Manager's words.
    "none": _("No updates available"),
    "available": _("Updates available"),
    "reboot": _("Reboot required"),
    "nodata": _("No updates data"),
    # Hotpatch status.
    "Not Available": _("Not Available"),
    "Pending Evaluation": _("Pending Evaluation"),
    "Not Enrolled": _("Not Enrolled"),
    "Enabled": _("Enabled"),
    "Disabled": _("Disabled"),
    "Pending": _("Pending"),
    "Action Required": _("Action Required"),
    "Canceled": _("Canceled"),
    # Orchestration.
    "Windows Automatic Update": _("Windows Automatic Update"),
    "Customer Managed Schedules": _("Customer Managed Schedules"),
    "Azure Managed - Safe Deployment": _("Azure Managed - Safe Deployment"),
    "Image Default": _("Image Default"),
    "Manual": _("Manual"),
    "N/A": _("N/A"),
    # Runs.
    "assess": _("Assessment"),
    "install": _("Installation"),
    "run-restart": _("Restart"),
    "InProgress": _("In progress"),
    "Failed": _("Failed"),
    "Succeeded": _("Succeeded"),
    "CompletedWithWarnings": _("Completed with warnings"),
    "User": _("Person"),
    "Platform": _("Platform"),
    # Patches.
    "Critical": _("Critical"),
    "Security": _("Security"),
    "Other": _("Other"),
    "UpdateRollUp": _("Update rollup"),
    "FeaturePack": _("Feature pack"),
    "ServicePack": _("Service pack"),
    "Definition": _("Definition"),
    "Tools": _("Tools"),
    "Updates": _("Updates"),
    "Installed": _("Installed"),
    "Excluded": _("Excluded"),
    "NotSelected": _("Not selected"),
    "NeverReboots": _("No"),
    "AlwaysRequiresReboot": _("Yes"),
    "CanRequestReboot": _("Possibly"),
    "NotNeeded": _("Not needed"),
    "Required": _("Required"),
    "Started": _("Started"),
    "Completed": _("Completed"),
    "IfRequired": _("Reboot if required"),
    "Never": _("Never reboot"),
    "Always": _("Always reboot"),
    # Processes.
    "applied": _("Hotpatched"),
    "already": _("Hotpatched before"),
    "outdated": _("Runs old code"),
    "blocked": _("Waits for a thread"),
    "not-mapped": _("Does not map it"),
    "nothing": _("Nothing"),
    "refused": _("Refused"),
    "gone": _("Ended"),
    "reverted": _("Taken back"),
    "restart-of-the-process": _("Restart of the process"),
    "not-installed": _("A hotpatch is there, and has not been installed."),
    "no-hotpatch": _("There is no hotpatch: only a restart of the process ends it."),
    # How bad a flaw is.
    **{"High": _("High"), "Medium": _("Medium"), "Low": _("Low")},
    **{"Important": _("Important"), "Moderate": _("Moderate")},
    # Rollouts and turns.
    "running": _("Running"),
    "paused": _("Paused"),
    "halted": _("Halted"),
    "cancelled": _("Cancelled"),
    "finished": _("Finished"),
    "started": _("Installing"),
    "soaking": _("Proving itself"),
    "healthy": _("Healthy"),
    "failed": _("Failed"),
    "excluded": _("Excluded"),
    "turn-waiting": _("Waiting"),
    "automatic": _("Release"),
    "scheduled": _("Schedule"),
    # Verdicts.
    "needs-restart": _("Restart needed"),
    "not-code": _("Not code"),
    # Calendar.
    "baseline": _("Baseline"),
    "hotpatch": _("Hotpatch"),
    "update": _("Update"),
    "planned": _("Planned"),
    "unplanned": _("Unplanned"),
    "out-of-band": _("Out of band"),
    # Days.
    **{"Monday": _("Monday"), "Tuesday": _("Tuesday"), "Wednesday": _("Wednesday")},
    **{"Thursday": _("Thursday"), "Friday": _("Friday"), "Saturday": _("Saturday")},
    **{"Sunday": _("Sunday"), "First": _("First"), "Second": _("Second"), "Third": _("Third")},
    **{"Fourth": _("Fourth"), "Last": _("Last")},
    # Health.
    "good": _("Good"),
    "bad": _("Bad"),
    # Roles.
    "viewer": _("Viewer"),
    "operator": _("Operator"),
    "approver": _("Approver"),
    "publisher": _("Publisher"),
    "admin": _("Admin"),
    # Machines.
    "vm": _("Virtual machine"),
    "arc": _("Arc-enabled server"),
    "microsoft.compute/virtualmachines": _("Virtual machine"),
    "microsoft.hybridcompute/machines": _("Arc-enabled server"),
    "GenerallyAvailable": _("Generally available"),
    "Preview": _("Preview"),
    "None": _("Not chosen"),
}

# How a word is lit: ok, busy, bad, or "" for neither. Shape and word say the same.
_KINDS = {
    "ok": (
        *("live", "none", "Enabled", "Succeeded", "Installed", "applied", "already", "running"),
        *("finished", "healthy", "good", "nothing", "Completed"),
    ),
    "busy": (
        *("waiting", "available", "Pending", "InProgress", "blocked", "paused", "started"),
        *("soaking", "CompletedWithWarnings", "Pending Evaluation", "turn-waiting"),
    ),
    "bad": (
        *("restart", "reboot", "Failed", "refused", "halted", "failed", "bad", "outdated"),
        *("Action Required", "needs-restart", "restart-of-the-process"),
    ),
    "unknown": ("unknown", "nodata", "Unknown"),
}
_KIND = {word: kind for kind, words in _KINDS.items() for word in words}

# Of a time that passed: what is said, its seconds, up to which time, digits.
UNITS = (
    (_("%(number)s min"), 60.0, 3600.0, 0),
    (_("%(number)s h"), 3600.0, 172_800.0, 1),
    (_("%(number)s d"), 86400.0, float("inf"), 1),
)

# What is said at the door (``identity/door.py``).
DOOR = (
    _("Log in"),
    _("Become the first admin"),
    _("You will be this fleet's first admin."),
    _("This link is not known, was used, or is too old."),
    _("This form did not come from here."),
    _("Too many tries; wait a quarter of an hour."),
    _("Name or password are wrong."),
)


def label(word: str) -> str:
    """``word`` itself where it has no label."""
    return LABELS.get(word, word)


def deed(word: str) -> str:
    """A run's kind: a restart that is done is another word than one that is needed."""
    return LABELS.get("run-restart" if word == "restart" else word, word)


def kind(word: object) -> str:
    """How it is lit."""
    return _KIND.get(str(word), "")
