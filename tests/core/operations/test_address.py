"""``headwater up --address``: everything moves together, and only where somebody could sign in."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from core.access.users import Users
from core.cli import main
from core.errors import InputError
from core.operations.plan import UpSettings, check_address, check_ports, make_plan
from core.settings import get_settings
from core.vertical import Vertical

GOOD = "Kelp-forest 42 lantern"
SHOP = Vertical("shop", "a test", dashboard="dashboards/support.py", port=8765)


@pytest.fixture
def account() -> Callable[[], Users]:
    """Make an account."""

    def made() -> Users:
        users = Users.open(get_settings())
        users.add("mei", ["agent"], GOOD)
        return users

    return made


def specs(address: str) -> dict[str, Any]:
    plan = make_plan(get_settings(), UpSettings(address=address), verticals={"shop": lambda: SHOP})
    return {spec.name: spec for spec in plan.specs}


@pytest.mark.parametrize(
    ("address", "asked_at"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("0.0.0.0", "http://127.0.0.1:"),
        ("::", "http://[::1]:"),
        ("192.0.2.4", "http://192.0.2.4:"),
    ],
)
def test_api_and_dashboards_listen_there(address: str, asked_at: str) -> None:
    found = specs(address)
    api, dashboard = found["api"], found["shop-dashboard"]
    assert list(api.command)[list(api.command).index("--host") + 1] == address
    assert f"--server.address={address}" in dashboard.command
    assert api.url == f"{asked_at}8000" and dashboard.url == f"{asked_at}8765"


def test_loopback_needs_nobody() -> None:
    for address in ("127.0.0.1", "127.8.8.8", "::1"):
        check_address(address, get_settings())


def test_other_addresses_need_an_account(account: Callable[[], Users]) -> None:
    for address in ("0.0.0.0", "::", "192.0.2.4"):
        with pytest.raises(InputError, match="nobody has an account; make one first: headwater users add"):
            check_address(address, get_settings())
    users = account()
    check_address("0.0.0.0", get_settings())
    users.disable("mei")
    with pytest.raises(InputError, match="nobody has an account"):
        check_address("0.0.0.0", get_settings())


def test_a_name_is_no_address(account: Callable[[], Users]) -> None:
    account()
    for name in ("localhost", "desk.example.com", "", "0.0.0.0:80"):
        with pytest.raises(InputError, match="write an IP address"):
            check_address(name, get_settings())


def test_the_command_refuses_before_anything_starts(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--check", "--address", "0.0.0.0"]) == 2
    err = capfd.readouterr().err
    assert "nobody has an account" in err and err.count("\n") == 1
    assert not (get_settings().var / "logs").exists()


def test_a_port_taken_on_one_address_is_taken_for_all() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        plan = make_plan(get_settings(), UpSettings(ports={"shop": port}), verticals={"shop": lambda: SHOP})
        with pytest.raises(InputError, match=f"port {port}, for shop-dashboard"):
            check_ports([spec for spec in plan.specs if spec.name == "shop-dashboard"], "0.0.0.0")
