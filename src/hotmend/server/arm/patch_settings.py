"""What a machine's patch settings may be: Azure's rules, with its codes and sentences. Pure.

Sources: automatic-vm-guest-patching.md (modes and transitions) and public reports of the real
service's answers (azure-cli#21504, terraform-provider-azurerm#24335, packer-plugin-azure#189).
"""

from __future__ import annotations

from typing import Any

from hotmend.fleet import support
from hotmend.fleet.support import Image, Row
from hotmend.server.arm.bodies import object_in
from hotmend.server.errors import ArmError, invalid

_PATCH_MODE = "windowsConfiguration.patchSettings.patchMode"
_WINDOWS_MODES = ("Manual", "AutomaticByOS", "AutomaticByPlatform")
_LINUX_MODES = ("ImageDefault", "AutomaticByPlatform")
_ASSESSMENT_MODES = ("ImageDefault", "AutomaticByPlatform")
_REBOOT_SETTINGS = ("Unknown", "IfRequired", "Never", "Always")

Body = dict[str, Any]


def check(properties: Body, before: Body | None, rows: tuple[Row, ...]) -> None:
    """A machine's ``properties`` as they would be, and as they were. Raises ArmError."""
    profile = object_in(properties, "osProfile")
    windows = object_in(profile, "windowsConfiguration")
    linux = object_in(profile, "linuxConfiguration")
    if before is not None:
        _check_transition(
            windows, object_in(object_in(before, "osProfile"), "windowsConfiguration")
        )
    image = image_of(properties)
    row = support.find(rows, "Azure", image) if image is not None else None
    if windows or (row is not None and row.os == "Windows"):
        _check_windows(windows, row, known=image is None)
    if linux:
        settings = object_in(linux, "patchSettings")
        _check_words(settings, "linuxConfiguration.patchSettings", _LINUX_MODES)
        if settings.get("patchMode") == "AutomaticByPlatform" and image is not None and row is None:
            raise _not_supported("linuxConfiguration.patchSettings.patchMode")
        _check_agent(linux, settings, "linuxConfiguration.patchSettings.patchMode")


def check_connected(properties: Body) -> None:
    """Of a machine that is connected by Arc: the words only, either system takes all modes. Whether
    it may be hotpatched is its licence's to say. Raises ArmError."""
    profile = object_in(properties, "osProfile")
    for name in ("windowsConfiguration", "linuxConfiguration"):
        settings = object_in(object_in(profile, name), "patchSettings")
        _check_words(settings, f"{name}.patchSettings", (*_WINDOWS_MODES, "ImageDefault"))


def _check_windows(windows: Body, row: Row | None, *, known: bool) -> None:
    """``known``: the machine was not made from an image, so that nothing is asked of one."""
    hotpatch_image = row is not None and row.hotpatch
    settings = object_in(windows, "patchSettings")
    mode = settings.get("patchMode")
    _check_words(settings, "windowsConfiguration.patchSettings", _WINDOWS_MODES)
    if hotpatch_image and not settings:
        raise invalid("PatchSettings must be specified for hotpatch compatible VMs.")
    if mode == "AutomaticByOS" and windows.get("enableAutomaticUpdates") is False:
        raise invalid(
            "The patchMode 'AutomaticByOS' is invalid. For patchMode 'AutomaticByOS', the property "
            "'enableAutomaticUpdates' must be set to true.",
            _PATCH_MODE,
        )
    if mode == "AutomaticByPlatform" and row is None and not known:
        raise _not_supported(_PATCH_MODE)
    if settings.get("enableHotpatching") is True:
        _check_hotpatching(windows, settings, supported=hotpatch_image or known)
    if mode == "Manual" and windows.get("enableAutomaticUpdates") is True:
        raise invalid(
            "The patchMode 'Manual' is invalid. For patchMode 'Manual', the property "
            "'enableAutomaticUpdates' must be set to false.",
            _PATCH_MODE,
        )
    _check_agent(windows, settings, _PATCH_MODE)


def _check_agent(configuration: Body, settings: Body, target: str) -> None:
    """What the platform is to do, an agent does."""
    if (
        settings.get("patchMode") == "AutomaticByPlatform"
        and configuration.get("provisionVMAgent") is False
    ):
        raise invalid(
            "The patchMode 'AutomaticByPlatform' is invalid. For patchMode 'AutomaticByPlatform', "
            "the property 'provisionVMAgent' must be set to true.",
            target,
        )


def _check_hotpatching(windows: Body, settings: Body, *, supported: bool) -> None:
    automatic = settings.get("patchMode") == "AutomaticByPlatform"
    if windows.get("provisionVMAgent") is False or not automatic:
        raise invalid(
            "EnableHotpatching cannot be set to true. For enableHotpatching, the "
            "'provisionVMAgent' must be set to true and 'patchMode' must be set to "
            "'AutomaticByPlatform'.",
            "windowsConfiguration.patchSettings.enableHotpatching",
        )
    if not supported:
        raise _not_supported("windowsConfiguration.patchSettings.enableHotpatching")
    platform = object_in(settings, "automaticByPlatformSettings")
    if platform.get("bypassPlatformSafetyChecksOnUserSchedule") is True:
        raise invalid(
            "Hotpatch updates require platform safety checks. The "
            "'BypassPlatformSafetyChecksOnUserSchedule' flag must be set to false to enable "
            "hotpatching."
        )


def _check_transition(windows: Body, before: Body) -> None:
    """``enableAutomaticUpdates`` is set when a machine is made, and never again."""
    was, wanted = before.get("enableAutomaticUpdates"), windows.get("enableAutomaticUpdates")
    if wanted is not None and was is not None and wanted != was:
        raise ArmError(
            409,
            "PropertyChangeNotAllowed",
            "Changing property 'windowsConfiguration.enableAutomaticUpdates' is not allowed.",
            "windowsConfiguration.enableAutomaticUpdates",
        )


def _check_words(settings: Body, where: str, modes: tuple[str, ...]) -> None:
    platform = object_in(settings, "automaticByPlatformSettings")
    for holder, name, words in (
        (settings, "patchMode", modes),
        (settings, "assessmentMode", _ASSESSMENT_MODES),
        (platform, "rebootSetting", _REBOOT_SETTINGS),
    ):
        value = holder.get(name)
        if value is not None and value not in words:
            raise invalid(
                f"The value '{str(value)[:80]}' of '{name}' is invalid; it is one of "
                f"{', '.join(words)}.",
                f"{where}.{name}",
            )
    for holder, name in (
        (settings, "enableHotpatching"),
        (platform, "bypassPlatformSafetyChecksOnUserSchedule"),
    ):
        if not isinstance(holder.get(name), bool | None):
            raise invalid(f"'{name}' is true or false.", f"{where}.{name}")


def windows_settings(properties: Body) -> Body:
    """``patchSettings`` of Windows; empty where there are none. Raises ArmError."""
    windows = object_in(object_in(properties, "osProfile"), "windowsConfiguration")
    return object_in(windows, "patchSettings")


def settings_of(properties: Body) -> Body:
    """``patchSettings`` of the one system or the other; empty where there are none."""
    profile = object_in(properties, "osProfile")
    for name in ("windowsConfiguration", "linuxConfiguration"):
        settings = object_in(object_in(profile, name), "patchSettings")
        if settings:
            return settings
    return {}


def image_of(properties: Body) -> Image | None:
    """The image that a machine was made from, if its properties say one. Raises ArmError."""
    reference = object_in(object_in(properties, "storageProfile"), "imageReference")
    names = [reference.get(name) for name in ("publisher", "offer", "sku")]
    if not any(names):
        return None
    if not all(isinstance(name, str) for name in names):
        raise invalid("An image has a publisher, an offer and a sku.", "imageReference")
    return Image(*map(str, names))


def _not_supported(target: str) -> ArmError:
    return invalid(
        "The selected VM image is not supported for VM Guest patch operations. Learn more at: "
        "https://aka.ms/VMGuestPatchingCompatibility",
        target,
    )
