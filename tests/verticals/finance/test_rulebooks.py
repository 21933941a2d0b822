import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from verticals.finance import export, rulebooks
from verticals.finance.settings import DATA

TEXT = (DATA / "rules.toml").read_text(encoding="utf-8")
IDS = [rule["id"] for rule in tomllib.loads(TEXT)["rules"]]
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "sensitivity": st.sampled_from([0.9, 0.999, 0.99999]),
        "minimum_stories": st.integers(1, 500),
        "severity": st.sampled_from(["info", "warning", "critical"]),
        "window": st.sampled_from(["6h", "1d12h", "7d"]),
        "nodata": st.sampled_from(["1h", "2d"]),
        "enabled": st.booleans(),
    },
)


@given(rule=st.sampled_from(IDS), values=VALUES)
def test_a_change_touches_its_own_fields_and_no_comment(rule: str, values: dict[str, object]) -> None:
    changed = rulebooks.changed(TEXT, rule, values)
    wanted = tomllib.loads(TEXT)
    for row in wanted["rules"]:
        if row["id"] == rule:
            row.update(values)
    assert tomllib.loads(changed) == wanted
    assert [line for line in changed.splitlines() if line.startswith("#")] == [
        line for line in TEXT.splitlines() if line.startswith("#")
    ]
    assert rulebooks.parse(changed).rule(rule) is not None


def test_a_rule_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="there is no rule 'nope'"):
        rulebooks.changed(TEXT, "nope", {"enabled": False})


def test_a_spreadsheet_runs_nothing_of_what_sources_wrote() -> None:
    rows = [{"title": '=HYPERLINK("http://x")', "n": -1.5}, {"title": "plain", "n": 2, "more": ["a", "b"]}]
    lines = export.to_csv(rows).decode("utf-8-sig").splitlines()
    assert lines[0] == "title,n,more"
    assert lines[1].startswith("\"'=HYPERLINK") and ",-1.5," in lines[1]
    assert lines[2] == 'plain,2,"[""a"", ""b""]"'
