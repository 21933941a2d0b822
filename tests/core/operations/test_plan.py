"""What is to be started: the order, the ports, and an application that is broken."""

import socket
from pathlib import Path

import pytest

from core.cli import main
from core.errors import InputError
from core.operations.plan import UpSettings, check_ports, make_plan
from core.operations.up import Plan
from core.settings import get_settings
from core.vertical import Process, Vertical
from tests.core.operations.supervised import free_port


def plan(up: UpSettings | None = None, only: tuple[str, ...] = (), **verticals: Vertical) -> Plan:
    return make_plan(
        get_settings(), up or UpSettings(), only, {name: lambda v=vertical: v for name, vertical in verticals.items()}
    )


def board(name: str, port: int | None = None, **others: object) -> Vertical:
    return Vertical(name, "", dashboard=f"dashboards/{name}.py", port=port, **others)  # type: ignore[arg-type]


def test_the_order_and_the_ports() -> None:
    feed = Process("feed", ["{python}", "-m", "feed"], "http://127.0.0.1:8590/", 8590)
    made = plan(shop=board("shop"), toys=board("toys", 8501), feeds=Vertical("feeds", "", processes=lambda: [feed]))
    assert [(spec.name, spec.port) for spec in made.specs] == [
        ("feed", 8590), ("api", 8000), ("worker", None), ("shop-dashboard", 8502), ("toys-dashboard", 8501),
    ]  # fmt: skip
    assert made.specs[0].url == "http://127.0.0.1:8590"
    made = plan(UpSettings(ports={"toys": 9001, "api": 9000}), shop=board("shop"), toys=board("toys", 8501))
    assert [spec.port for spec in made.specs] == [9000, None, 8501, 9001]


def test_only_some() -> None:
    made = plan(only=("toys",), shop=board("shop"), toys=board("toys"))
    assert [spec.name for spec in made.specs] == ["api", "worker", "toys-dashboard"]
    with pytest.raises(InputError, match="no application 'tosy'; installed: shop, toys"):
        plan(only=("tosy",), shop=board("shop"), toys=board("toys"))


def test_ports_that_collide_are_refused() -> None:
    with pytest.raises(InputError, match="port 8501 is given to both shop-dashboard and toys-dashboard"):
        plan(shop=board("shop", 8501), toys=board("toys", 8501))


def test_a_broken_one_is_left_out() -> None:
    def broken() -> list[Process]:
        raise ValueError("no feed")

    made = plan(shop=board("shop"), toys=board("toys", processes=broken))
    assert made.broken == {"toys": "no feed"}
    assert [spec.name for spec in made.specs] == ["api", "worker", "shop-dashboard"]


def test_a_port_in_use_is_a_clear_error_before_anything_starts(
    private_var: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.vertical.installed", dict)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}.*--port shop=PORT"):
            check_ports(plan(UpSettings(ports={"shop": port, "api": free_port()}), shop=board("shop")).specs)
        assert main(["up", "--check", "--port", f"api={port}"]) == 2
    assert f"port {port}, for api" in capfd.readouterr().err
    assert not (private_var / "logs").exists()


@pytest.mark.parametrize("text", ["api", "api=", "api=x", "api=0", "api=65536", "=80"])
def test_bad_ports_are_refused(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--check", "--port", text]) == 2
    assert "NAME=PORT" in capfd.readouterr().err
