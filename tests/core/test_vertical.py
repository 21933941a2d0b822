"""The contract a vertical fills, and how an installed one is found without importing it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.cli import main
from core.errors import InputError
from core.settings import PROJECT_ROOT
from core.vertical import GROUP, Vertical, installed, load

TRIAGE = '''
import click
from core.vertical import Vertical

def commands():
    @click.group()
    def triage():
        """Sort patients' messages by urgency."""

    @triage.command()
    @click.argument("text")
    def sort(text):
        """Say how urgent TEXT is."""
        click.echo(f"urgent: {text}")

    return triage

vertical = Vertical("triage", "Sort messages by urgency", commands=commands)
'''

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make a package look installed: its module and its dist-info with one entry point."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def make(name: str, source: str, module: str | None = None, attribute: str = "vertical") -> Path:
        module = module or f"{name}_vertical"
        (site / f"{module}.py").write_text(source)
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {module}:{attribute}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)
        return site

    return make


def test_a_fourth_vertical_is_found_and_loaded(install: Install) -> None:
    install("triage", TRIAGE)
    assert "triage" in installed()
    assert "triage_vertical" not in sys.modules, "finding it must not import it"
    vertical = load("triage")
    assert isinstance(vertical, Vertical)
    assert (vertical.name, vertical.routes, vertical.jobs, vertical.dashboard) == ("triage", None, None, None)
    sys.modules.pop("triage_vertical", None)


def test_its_commands_join_the_command_line(install: Install, capfd: pytest.CaptureFixture[str]) -> None:
    install("triage", TRIAGE)
    assert main(["triage", "--help"]) == 0
    assert "Say how urgent TEXT is." in capfd.readouterr().out
    assert main(["triage", "sort", "chest pain"]) == 0
    assert "urgent: chest pain" in "".join(capfd.readouterr())


def test_help_lists_it_without_importing_it(install: Install) -> None:
    site = install("triage", TRIAGE + "\nraise SystemExit('imported')\n")
    code = (
        f"import sys; sys.path[:0] = [{str(site)!r}, {str(PROJECT_ROOT)!r}]\n"
        "from core.cli import main\ncode = main(['--help'])\n"
        "assert 'triage_vertical' not in sys.modules\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "triage" in done.stdout


def test_a_broken_one_does_not_break_the_others(install: Install, capfd: pytest.CaptureFixture[str]) -> None:
    install("broken", "import a_package_nobody_has\n")
    assert main(["--help"]) == 0
    assert "broken" in capfd.readouterr().out
    with pytest.raises(InputError, match="'broken'.*a_package_nobody_has"):
        load("broken")
    assert main(["broken", "run"]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "a_package_nobody_has" in err and "Traceback" not in err
    assert main(["models", "--help"]) == 0


def test_what_is_not_a_vertical_is_refused(install: Install) -> None:
    install("odd", "vertical = 'a string'\n")
    with pytest.raises(InputError, match="odd_vertical:vertical is not a core.vertical.Vertical"):
        load("odd")
    install("lost", "", attribute="nothing")
    with pytest.raises(InputError, match="'lost'.*cannot be loaded"):
        load("lost")


def test_one_name_twice_is_refused(install: Install, capfd: pytest.CaptureFixture[str]) -> None:
    install("triage", TRIAGE, "first")
    install("triage", TRIAGE, "second")
    with pytest.raises(InputError, match=r"first:vertical, second:vertical.*uninstall one"):
        installed()
    assert main(["triage"]) == 2
    assert "uninstall one" in capfd.readouterr().err


def test_an_unknown_one_names_those_there_are(install: Install) -> None:
    install("triage", TRIAGE)
    with pytest.raises(InputError, match="no vertical 'poetry'; installed: .*triage"):
        load("poetry")


def test_one_without_commands_is_refused(install: Install, capfd: pytest.CaptureFixture[str]) -> None:
    install("silent", "from core.vertical import Vertical\nvertical = Vertical('silent', 'no commands')\n")
    assert main(["silent"]) == 2
    assert "brings no commands" in capfd.readouterr().err
