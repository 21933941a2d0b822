"""Image, compose file and units start what exists, where it is expected, and not as root."""

import configparser
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from core.settings import PROJECT_ROOT

PACKAGING = PROJECT_ROOT / "packaging"
UNITS = sorted((PACKAGING / "systemd").glob("*.service"))
DASHBOARDS = ("support", "finance", "recommend")
START = {"/app/packaging/start", "/opt/headwater/packaging/start"}
PREPARE = {"/app/packaging/prepare", "/opt/headwater/packaging/prepare"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PACKAGING / "compose.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their arguments."""
    text = re.sub(r"^\s*#.*\n", "", (PACKAGING / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for line in lines if line.strip() for word, _, rest in [line.partition(" ")]]


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """Sections of a unit file; a key may be there several times."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line.strip() and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            found.setdefault(section, {}).setdefault(key, []).append(value.strip())
    return found


def accepts(words: Sequence[str]) -> None:
    """Fail unless the command exists and knows its options, by its own description of itself."""
    words = list(words)
    while words[0] in START:
        words = words[1:]
    if words[0] == "sh" and words[1] == "-c":
        accepts(shlex.split(re.sub(r"\$\$\(.*?\)", "NOW", words[2])))
    elif words[0] in PREPARE:
        script = (PACKAGING / "prepare").read_text()
        for module in re.findall(r"python -m ([\w.]+)", script):
            assert importlib.util.find_spec(module)
        for line in re.findall(r"^\s+(headwater [^\n]*)", script, flags=re.MULTILINE):
            accepts(shlex.split(line))
    elif words[0] == "headwater":
        _accepted_by_headwater(words[1:])
    elif words[0] == "streamlit":
        _accepted_by_streamlit(words[1:])
    else:
        assert words[0] == "python" and words[1] == "-c", f"unknown program {words[0]}"
        compile(words[2], "health", "exec")


def _accepted_by_headwater(words: list[str]) -> None:
    from core.cli import headwater

    command: click.Command = headwater
    context = click.Context(headwater)
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"headwater has no command {name}"
        command = found
    # Parsing refuses unknown options, wrong values and too many arguments; nothing is run.
    command.make_context(command.name, words)


def _accepted_by_streamlit(words: list[str]) -> None:
    from streamlit import config

    known = config.get_config_options()
    assert words[0] == "run" and (PROJECT_ROOT / words[1]).is_file()
    for option in words[2:]:
        assert option.startswith("--") and option[2:].partition("=")[0] in known, option


def settings_variables() -> set[str]:
    """Every environment variable that the core's and the applications' settings read."""
    from core.access.config import AccessSettings
    from core.api.config import ApiSettings
    from core.operations.plan import UpSettings
    from core.operations.worker_settings import WorkerSettings
    from core.settings import Settings

    kinds = (Settings, ApiSettings, AccessSettings, WorkerSettings, UpSettings)
    return {f"{kind.model_config['env_prefix']}{name}".upper() for kind in kinds for name in kind.model_fields}


def _known_variables(given: Mapping[str, Any]) -> None:
    for name in given:
        if name.startswith("HEADWATER_"):
            assert name.removesuffix("_FILE") in settings_variables(), name


def option(words: Sequence[str], name: str) -> str:
    """The value of ``--name=value`` or ``--name value``."""
    words = list(words)
    joined = [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]
    return joined[0] if joined else words[words.index(name) + 1]


def port_of(name: str) -> int:
    from core.api.config import ApiSettings
    from core.vertical import load

    found = ApiSettings().port if name == "api" else load(name).port
    assert found
    return found


def test_compose_has_all_that_runs(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"postgres", "prepare", "api", "worker", *DASHBOARDS}


def test_compose_starts_what_exists(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name == "postgres":
            continue
        accepts(service["command"])
        check = service["healthcheck"]
        if name != "prepare":
            assert check["test"][0] == "CMD"
            accepts(check["test"][1:])
        _known_variables(service["environment"])


@pytest.mark.parametrize("name", ["api", *DASHBOARDS])
def test_compose_ports_are_the_products(compose: dict[str, Any], name: str) -> None:
    service, port = compose["services"][name], port_of(name)
    assert option(service["command"], "--port" if name == "api" else "--server.port") == str(port)
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"], "published to others than this machine"
    assert f":{port}/" in service["healthcheck"]["test"][-1]


def test_compose_is_hardened_and_checked(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert "no-new-privileges:true" in service["security_opt"]
        assert (
            "privileged" not in service and "network_mode" not in service and service.get("user") not in ("0", "root")
        )
        if name != "postgres":
            assert service["read_only"] and service["cap_drop"] == ["ALL"]
        for wanted in service.get("depends_on", {}):
            assert wanted in compose["services"]
    assert compose["services"]["api"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_compose_takes_secrets_from_files(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for secret in service.get("secrets", []):
            assert compose["secrets"][secret]["file"].startswith("secrets/")
        for name, value in service["environment"].items():
            if re.search("PASSWORD|URL|KEY|TOKEN", name):
                assert str(value).startswith("/run/secrets/"), f"{name} is not read from a file"
                assert Path(str(value)).name in service["secrets"]
    ignored = subprocess.run(
        ["git", "check-ignore", "packaging/secrets/database_url"], cwd=PROJECT_ROOT, capture_output=True
    )
    assert ignored.returncode in (0, 128), "a secret could be committed"  # 128: no git here, as in an archive


def test_image(dockerfile: list[tuple[str, str]]) -> None:
    last = max(number for number, (word, _) in enumerate(dockerfile) if word == "FROM")
    final = dockerfile[last:]
    users = [rest for word, rest in final if word == "USER"]
    assert users and users[-1] not in ("root", "0")
    assert any(word == "HEALTHCHECK" for word, _ in final)
    assert any("-slim" in rest for word, rest in dockerfile if word == "ARG" and rest.startswith("PYTHON="))
    installs = [rest for word, rest in dockerfile if word == "RUN" and "pip install" in rest]
    assert installs and all("constraints.txt" in rest for rest in installs)
    for word, rest in final:
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (PROJECT_ROOT / source).exists(), source
        if word == "ENV":
            _known_variables(dict(pair.partition("=")[::2] for pair in shlex.split(rest)))
        if word == "CMD":
            accepts(yaml.safe_load(rest))


def test_image_is_sent_only_what_it_needs() -> None:
    lines = (PACKAGING / "Dockerfile.dockerignore").read_text().splitlines()
    assert lines[0] == "**" and not {"!var", "!packaging", "!.git", "!packaging/secrets"} & set(lines)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_start_what_exists(path: Path) -> None:
    service = unit(path)["Service"]
    assert len(service["ExecStart"]) == 1
    accepts(shlex.split(service["ExecStart"][0]))
    for line in service["Environment"]:
        _known_variables(dict(word.partition("=")[::2] for word in shlex.split(line)))


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_are_hardened(path: Path) -> None:
    service = unit(path)["Service"]
    assert service["User"] == ["headwater"]
    for key, value in {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "CapabilityBoundingSet": "",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
        "SystemCallFilter": "@system-service",
        "UMask": "0077",
    }.items():
        assert service[key] == [value], key


@pytest.mark.parametrize("name", ["api", *DASHBOARDS])
def test_unit_ports_are_the_products(name: str) -> None:
    words = shlex.split(unit(PACKAGING / "systemd" / f"headwater-{name}.service")["Service"]["ExecStart"][0])
    assert option(words, "--port" if name == "api" else "--server.port") == str(port_of(name))
    assert option(words, "--host" if name == "api" else "--server.address") == "127.0.0.1"


def test_units_name_each_other_rightly() -> None:
    names = {path.name for path in (PACKAGING / "systemd").iterdir()}
    assert {f"headwater-{name}.service" for name in ("api", "worker", *DASHBOARDS)} <= names
    for path in UNITS:
        section = unit(path)["Unit"]
        for line in [*section.get("Requires", []), *section.get("After", [])]:
            for other in line.split():
                assert other == "network-online.target" or other in names
    timer = configparser.ConfigParser(interpolation=None)
    timer.read(PACKAGING / "systemd" / "headwater-backup.timer")
    assert timer["Timer"]["OnCalendar"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_understands_the_units(path: Path) -> None:
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)]
    found = subprocess.run(command, capture_output=True, text=True)
    wrong = [line for line in found.stderr.splitlines() if re.search("Unknown|Invalid|Failed to parse|ignoring", line)]
    assert not wrong


def start(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [str(PACKAGING / "start"), "env"]
    return subprocess.run(command, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True)


def test_start_reads_secrets(tmp_path: Path) -> None:
    value = "postgresql+psycopg://me:p'a\"$(x) ss@host/db"
    (tmp_path / "url").write_text(value + "\n")
    found = start({"HEADWATER_DATABASE_URL_FILE": str(tmp_path / "url"), "OTHER_FILE": "stays"})
    lines = found.stdout.splitlines()
    assert f"HEADWATER_DATABASE_URL={value}" in lines and "OTHER_FILE=stays" in lines
    assert not any(line.startswith("HEADWATER_DATABASE_URL_FILE") for line in lines)


def test_start_refuses_a_missing_or_empty_secret(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for file, problem in ((tmp_path / "none", "cannot be read"), (tmp_path / "empty", "is empty")):
        found = start({"HEADWATER_DATABASE_URL_FILE": str(file)})
        assert found.returncode == 2 and problem in found.stderr and found.stdout == ""


def test_commands_of_the_guide_exist() -> None:
    text = (PACKAGING / "README.md").read_text(encoding="utf-8")
    found = [
        line.partition("  #")[0].strip()
        for block in re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    commands = [line for line in found if line.startswith("headwater ")]
    assert len(commands) >= 5
    for line in commands:
        accepts(shlex.split(line))
