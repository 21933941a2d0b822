"""One labeller serves a process: opened once, and anew when its tables change."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from verticals.finance import served
from verticals.finance.settings import finance_settings


def test_requests_share_one_labeller_until_its_tables_change(
    private_var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []

    class Labeller:
        @classmethod
        def open(cls, settings: Any) -> "Labeller":
            opened.append(settings)
            return cls()

    monkeypatch.setattr(served, "Labeller", Labeller)
    table = tmp_path / "companies.csv"
    shutil.copy(finance_settings().companies_file, table)
    monkeypatch.setenv("HEADWATER_FINANCE_COMPANIES_FILE", str(table))
    first = served.served()
    assert served.served() is first and len(opened) == 1
    (tmp_path / "topics.toml").write_text("")
    assert served.served() is not first and len(opened) == 2
    assert len(served._open) == 1
