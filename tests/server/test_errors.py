"""Every rule of Azure's error table as a request, with its exact code and text."""

from __future__ import annotations

from typing import Any

import pytest

from server.conftest import Plane

HOTPATCH = "2022-datacenter-azure-edition-core"
PLAIN = "2022-datacenter-azure-edition"
RULES = "resourceGroups/rules/providers/Microsoft.Compute/virtualMachines"
TARGET = "windowsConfiguration.patchSettings"


@pytest.fixture(scope="module", autouse=True)
def group(plane: Plane) -> None:
    assert plane.call("PUT", "resourceGroups/rules", {"location": "westeurope"}).status in (
        200,
        201,
    )


def body(
    sku: str | None = HOTPATCH, *, updates: bool = True, agent: bool = True, **settings: Any
) -> Any:
    """A machine with these patch settings; with none of them when none are given."""
    windows: dict[str, Any] = {"provisionVMAgent": agent, "enableAutomaticUpdates": updates}
    if settings:
        windows["patchSettings"] = settings
    properties: dict[str, Any] = {"osProfile": {"windowsConfiguration": windows}}
    if sku is not None:
        properties["storageProfile"] = {
            "imageReference": {
                "publisher": "microsoftwindowsserver",
                "offer": "WindowsServer",
                "sku": sku.upper(),
                "version": "latest",
            }
        }
    return {"location": "westeurope", "properties": properties}


BYPASS = {"bypassPlatformSafetyChecksOnUserSchedule": True}
NOT_SUPPORTED = (
    "The selected VM image is not supported for VM Guest patch operations. Learn more at: "
    "https://aka.ms/VMGuestPatchingCompatibility"
)
GOOD = body(patchMode="AutomaticByPlatform", enableHotpatching=True)


@pytest.mark.parametrize(
    ("wanted", "target", "message"),
    [
        (
            body(patchMode="AutomaticByOS", enableHotpatching=True),
            f"{TARGET}.enableHotpatching",
            "EnableHotpatching cannot be set to true. For enableHotpatching, the "
            "'provisionVMAgent' must be set to true and 'patchMode' must be set to "
            "'AutomaticByPlatform'.",
        ),
        (
            body(agent=False, patchMode="AutomaticByPlatform", enableHotpatching=True),
            f"{TARGET}.enableHotpatching",
            "EnableHotpatching cannot be set to true. For enableHotpatching, the "
            "'provisionVMAgent' must be set to true and 'patchMode' must be set to "
            "'AutomaticByPlatform'.",
        ),
        (
            body(
                patchMode="AutomaticByPlatform",
                enableHotpatching=True,
                automaticByPlatformSettings=BYPASS,
            ),
            None,
            "Hotpatch updates require platform safety checks. The "
            "'BypassPlatformSafetyChecksOnUserSchedule' flag must be set to false to enable "
            "hotpatching.",
        ),
        (body(), None, "PatchSettings must be specified for hotpatch compatible VMs."),
        (
            body("unknown-sku", patchMode="AutomaticByPlatform"),
            f"{TARGET}.patchMode",
            NOT_SUPPORTED,
        ),
        (
            body(PLAIN, patchMode="AutomaticByPlatform", enableHotpatching=True),
            f"{TARGET}.enableHotpatching",
            NOT_SUPPORTED,
        ),
        (
            body(PLAIN, updates=False, patchMode="AutomaticByOS"),
            f"{TARGET}.patchMode",
            "The patchMode 'AutomaticByOS' is invalid. For patchMode 'AutomaticByOS', the property "
            "'enableAutomaticUpdates' must be set to true.",
        ),
        (
            body(PLAIN, patchMode="Manual"),
            f"{TARGET}.patchMode",
            "The patchMode 'Manual' is invalid. For patchMode 'Manual', the property "
            "'enableAutomaticUpdates' must be set to false.",
        ),
        (
            body(PLAIN, agent=False, patchMode="AutomaticByPlatform"),
            f"{TARGET}.patchMode",
            "The patchMode 'AutomaticByPlatform' is invalid. For patchMode 'AutomaticByPlatform', "
            "the property 'provisionVMAgent' must be set to true.",
        ),
        (
            body(PLAIN, patchMode="Sometimes"),
            f"{TARGET}.patchMode",
            "The value 'Sometimes' of 'patchMode' is invalid; it is one of Manual, AutomaticByOS, "
            "AutomaticByPlatform.",
        ),
        (
            body(PLAIN, patchMode="AutomaticByPlatform", assessmentMode="Hourly"),
            f"{TARGET}.assessmentMode",
            "The value 'Hourly' of 'assessmentMode' is invalid; it is one of ImageDefault, "
            "AutomaticByPlatform.",
        ),
        (
            body(
                PLAIN,
                patchMode="AutomaticByPlatform",
                automaticByPlatformSettings={"rebootSetting": "NeverReboot"},
            ),
            f"{TARGET}.rebootSetting",
            "The value 'NeverReboot' of 'rebootSetting' is invalid; it is one of Unknown, "
            "IfRequired, Never, Always.",
        ),
    ],
)
def test_a_machine_that_breaks_a_rule(
    plane: Plane, wanted: Any, target: str | None, message: str
) -> None:
    path = f"{RULES}/wrong"
    answer = plane.call("PUT", path, wanted)
    error = answer.body["error"]
    assert (answer.status, error["code"], error["message"]) == (400, "InvalidParameter", message)
    assert error.get("target") == target
    assert plane.call("GET", path).status == 404, "nothing was made"
    right = plane.call("PUT", path, GOOD)
    assert right.status == 201
    assert plane.call("DELETE", path).status == 200


def linux(**settings: Any) -> Any:
    image = {"publisher": "debian", "offer": "debian-12", "sku": settings.pop("sku", "12")}
    configuration = {"provisionVMAgent": settings.pop("agent", True), "patchSettings": settings}
    return {
        "location": "westeurope",
        "properties": {
            "osProfile": {"linuxConfiguration": configuration},
            "storageProfile": {"imageReference": image},
        },
    }


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (linux(patchMode="AutomaticByPlatform"), ""),
        (linux(patchMode="ImageDefault"), ""),
        (
            linux(patchMode="Manual"),
            "The value 'Manual' of 'patchMode' is invalid; it is one of ImageDefault, "
            "AutomaticByPlatform.",
        ),
        (linux(sku="7", patchMode="AutomaticByPlatform"), NOT_SUPPORTED),
        (
            linux(agent=False, patchMode="AutomaticByPlatform"),
            "The patchMode 'AutomaticByPlatform' is invalid. For patchMode 'AutomaticByPlatform', "
            "the property 'provisionVMAgent' must be set to true.",
        ),
    ],
)
def test_linux_has_modes_of_its_own(plane: Plane, wanted: Any, message: str) -> None:
    answer = plane.call("PUT", f"{RULES}/linux", wanted)
    if not message:
        assert answer.status in (200, 201)
        return
    error = answer.body["error"]
    assert (answer.status, error["code"], error["message"]) == (400, "InvalidParameter", message)
    assert error["target"] == "linuxConfiguration.patchSettings.patchMode"


@pytest.mark.parametrize(
    ("updates", "modes"),
    [
        (False, ("AutomaticByPlatform", "Manual", "AutomaticByPlatform")),
        (True, ("AutomaticByPlatform", "AutomaticByOS", "AutomaticByPlatform")),
    ],
)
def test_modes_that_may_be_exchanged(plane: Plane, updates: bool, modes: tuple[str, ...]) -> None:
    path = f"{RULES}/modes{updates}"
    for mode in modes:
        answer = plane.call("PUT", path, body(PLAIN, updates=updates, patchMode=mode))
        assert answer.status in (200, 201), (mode, answer.body)
    never = "AutomaticByOS" if not updates else "Manual"
    answer = plane.call("PUT", path, body(PLAIN, updates=updates, patchMode=never))
    assert (answer.status, answer.body["error"]["code"]) == (400, "InvalidParameter")
    assert f"The patchMode '{never}' is invalid." in answer.body["error"]["message"]


@pytest.mark.parametrize("action", ["start", "powerOff", "deallocate", "restart", "assessPatches"])
def test_what_a_machine_without_an_agent_cannot_do(plane: Plane, action: str) -> None:
    assert plane.call("PUT", f"{RULES}/bare", GOOD).status in (200, 201)
    answer = plane.call("POST", f"{RULES}/bare/{action}")
    assert (answer.status, answer.body["error"]["code"]) == (409, "OperationNotAllowed")
    why = "hotmend enroll" if action in ("restart", "assessPatches") else "no hypervisor"
    assert why in answer.body["error"]["message"]


def test_lists_come_in_pages(plane: Plane) -> None:
    place = "resourceGroups/paged"
    assert plane.call("PUT", place, {"location": "westeurope"}).status in (200, 201)
    for number in range(5):
        answer = plane.call("PUT", f"{RULES.replace('rules', 'paged')}/vm{number}", GOOD)
        assert answer.status in (200, 201)
    path, names = f"{RULES.replace('rules', 'paged')}?$top=2&api-version=2026-04-01", []
    while path:
        page = plane.call("GET", path).body
        assert len(page["value"]) <= 2
        names += [one["name"] for one in page["value"]]
        path = page.get("nextLink", "").removeprefix(plane.base)
        assert not path or "api-version=2026-04-01" in path
    assert names == [f"vm{number}" for number in range(5)]
    wrong = plane.call("GET", f"{RULES}?$top=0")
    assert (wrong.status, wrong.body["error"]["target"]) == (400, "$top")


def test_automatic_updates_are_chosen_once(plane: Plane) -> None:
    path = f"{RULES}/once"
    assert plane.call("PUT", path, body(PLAIN, patchMode="Manual", updates=False)).status == 201
    changes = {
        "properties": {"osProfile": {"windowsConfiguration": {"enableAutomaticUpdates": True}}}
    }
    for method, content in (
        ("PATCH", changes),
        ("PUT", body(PLAIN, patchMode="Manual", updates=True)),
    ):
        answer = plane.call(method, path, content)
        error = answer.body["error"]
        assert (answer.status, error["code"]) == (409, "PropertyChangeNotAllowed")
        assert error["target"] == "windowsConfiguration.enableAutomaticUpdates"
        assert error["message"] == (
            "Changing property 'windowsConfiguration.enableAutomaticUpdates' is not allowed."
        )
    same = plane.call("PUT", path, body(PLAIN, patchMode="AutomaticByPlatform", updates=False))
    assert same.status == 200, "Manual and AutomaticByPlatform may be exchanged"


@pytest.mark.parametrize(
    ("mode", "settings", "message"),
    [
        (
            "Uniform",
            {"patchMode": "AutomaticByPlatform", "enableHotpatching": True},
            "Virtual Machine Scale Sets with orchestrationMode 'Uniform' cannot be hotpatched; use "
            "orchestrationMode 'Flexible'.",
        ),
        (
            "Flexible",
            {"patchMode": "AutomaticByPlatform", "enableHotpatching": False},
            "'EnableHotpatching' must be set to 'true' on Virtual Machine Scale Sets running "
            "Hotpatch-compatible images.",
        ),
        ("Flexible", {"patchMode": "AutomaticByPlatform", "enableHotpatching": True}, ""),
    ],
)
def test_scale_sets(plane: Plane, mode: str, settings: Any, message: str) -> None:
    profile = body(**settings)["properties"]
    wanted = {
        "location": "westeurope",
        "properties": {"orchestrationMode": mode, "virtualMachineProfile": profile},
    }
    path = "resourceGroups/rules/providers/Microsoft.Compute/virtualMachineScaleSets/set"
    answer = plane.call("PUT", path, wanted)
    if message:
        error = answer.body["error"]
        assert (answer.status, error["code"], error["message"]) == (
            400,
            "InvalidParameter",
            message,
        )
    else:
        assert answer.status in (200, 201)


def test_a_template_that_breaks_a_rule_says_so_inside(plane: Plane) -> None:
    machine = body(patchMode="Manual", enableHotpatching=True)
    template = {
        "resources": [
            {"type": "Microsoft.Network/virtualNetworks", "name": "n", "location": "westeurope"},
            {"type": "Microsoft.Compute/virtualMachines", "name": "m", **machine},
        ]
    }
    path = "resourceGroups/rules/providers/Microsoft.Resources/deployments/d"
    answer = plane.call("PUT", path, {"properties": {"template": template}})
    error = answer.body["error"]
    assert (answer.status, error["code"]) == (400, "DeploymentFailed")
    assert error["message"].startswith("At least one resource deployment operation failed.")
    assert error["details"][0]["code"] == "InvalidParameter"
    network = "resourceGroups/rules/providers/Microsoft.Network/virtualNetworks/n"
    assert plane.call("GET", network).status == 404, "it was carried out whole or not at all"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "resourceGroups/none", 404, "ResourceGroupNotFound"),
        ("GET", f"{RULES}/none", 404, "ResourceNotFound"),
        ("GET", RULES.replace("rules", "none") + "/n", 404, "ResourceGroupNotFound"),
        ("DELETE", f"{RULES}/none", 204, ""),
        ("GET", "/subscriptions/11111111-1111-1111-1111-111111111111", 404, "SubscriptionNotFound"),
        ("GET", "providers/Microsoft.Nothing", 404, "InvalidResourceNamespace"),
        ("GET", "providers/Microsoft.Compute/unheardOf", 404, "InvalidResourceType"),
        ("PUT", "resourceGroups/bad%20name%3B", 400, "InvalidResourceName"),
        ("PUT", f"{RULES}/x", 400, "InvalidRequestContent"),
    ],
)
def test_what_is_not_there(plane: Plane, method: str, path: str, status: int, code: str) -> None:
    sent = {"location": "westeurope"} if "bad" in path else None if method != "PUT" else {"a": 1}
    answer = plane.call(method, path, sent)
    assert answer.status == status, answer.body
    if code:
        assert answer.body["error"]["code"] == code and answer.body["error"]["message"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", "Basic YTpi", "Bearer a.b.c"])
def test_without_a_token(plane: Plane, header: str) -> None:
    answer = plane.call("GET", "resourceGroups", Authorization=header)
    assert (answer.status, answer.body["error"]["code"]) == (401, "AuthenticationFailed")
    assert "authorization_uri" in answer.headers["WWW-Authenticate"]
    assert plane.call("GET", "resourceGroups").status == 200


INSTALL = {"maximumDuration": "PT2H", "rebootSetting": "IfRequired"}
CHOSEN = {"windowsParameters": {"classificationsToInclude": ["Security"]}}


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"maximumDuration": "2 hours"}, "maximumDuration"),
        ({"maximumDuration": "PT0S"}, "maximumDuration"),
        ({"maximumDuration": "PT4H1S"}, "maximumDuration"),
        ({"rebootSetting": "Sometimes"}, "rebootSetting"),
        ({"windowsParameters": {}}, "classificationsToInclude"),
        ({"windowsParameters": {"classificationsToInclude": ["Nice"]}}, "classificationsToInclude"),
        ({"windowsParameters": {"kbNumbersToInclude": ["KB5068840x"]}}, "kbNumbers"),
        ({"windowsParameters": {"kbNumbersToInclude": "5068840"}}, "kbNumbersToInclude"),
    ],
)
def test_an_installation_that_makes_no_sense(plane: Plane, change: Any, target: str) -> None:
    path = f"{RULES}/bare"
    assert plane.call("PUT", path, GOOD).status in (200, 201)
    answer = plane.call("POST", f"{path}/installPatches", INSTALL | CHOSEN | change)
    error = answer.body["error"]
    assert (answer.status, error["code"], error["target"]) == (400, "InvalidParameter", target)
    right = plane.call("POST", f"{path}/installPatches", INSTALL | CHOSEN)
    assert right.body["error"]["code"] == "OperationNotAllowed", "only the agent is missing"
