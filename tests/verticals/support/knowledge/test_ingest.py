import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.errors import InputError
from core.search.versions import Versions
from tests.verticals.support.conftest import ARTICLES, HashEncoder, write_articles
from verticals.support.knowledge.ingest import Blob, gather, ingest, ingest_blobs, remove
from verticals.support.knowledge.store import Knowledge, diff_versions, rollback, versions
from verticals.support.retrieval import Retrieval


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_articles(tmp_path / "articles", ARTICLES)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "index"


def test_the_same_files_again_change_nothing_and_encode_nothing(folder: Path, root: Path, encoder: HashEncoder) -> None:
    first = ingest([folder], root, encoder)
    assert (first.version, sorted(first.added), first.documents) == (1, sorted(ARTICLES), 5)
    encoder.encoded.clear()
    again = ingest([folder], root, encoder)
    assert (again.version, again.unchanged, again.added, again.changed) == (1, 5, (), ())
    assert encoder.encoded == []


def test_only_what_changed_is_encoded(folder: Path, root: Path, encoder: HashEncoder) -> None:
    ingest([folder], root, encoder)
    encoder.encoded.clear()
    (folder / "pin.md").write_text((folder / "pin.md").read_text() + " One more thing.")
    (folder / "new.txt").write_text("Loans are not offered.")
    (folder / "rates.md").unlink()
    done = ingest([folder], root, encoder)
    assert (done.version, done.added, done.changed, done.removed) == (2, ("new",), ("pin",), ("rates",))
    assert not [text for text in encoder.encoded if "Cash" in text]
    assert {"One more thing.", "Loans are not offered."} <= set(encoder.encoded)


def test_one_bad_document_stops_nothing_and_its_earlier_text_stays(
    folder: Path, root: Path, encoder: HashEncoder
) -> None:
    ingest([folder], root, encoder)
    (folder / "pin.md").write_bytes(b"\0\1\2")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "good.txt").write_text("A good text.")
    with (folder / "huge.txt").open("wb") as out:
        out.truncate(200 * 2**20)  # a hole: no disk is used, and it must not be read into memory
    done = ingest([folder], root, encoder)
    reasons = {Path(f.source).name: (f.reason, f.kept) for f in done.failed}
    assert set(reasons) == {"pin.md", "empty.txt", "huge.txt"}
    assert reasons["pin.md"][1] is True and reasons["empty.txt"] == ("it is empty", False)
    assert "split it" in reasons["huge.txt"][0]
    assert done.added == ("good",)
    assert "Change PIN" in Knowledge.open(root, encoder).document("pin").text


def test_two_sources_do_not_fight_over_an_id(folder: Path, root: Path, encoder: HashEncoder, tmp_path: Path) -> None:
    other = write_articles(tmp_path / "other", {"pin": ("PIN", "Another text.")})
    done = ingest([folder, other], root, encoder)
    assert [(f.source.endswith("other/pin.md"), "its id 'pin'" in f.reason) for f in done.failed] == [(True, True)]


def test_a_folder_that_moved_is_known_again(folder: Path, root: Path, encoder: HashEncoder, tmp_path: Path) -> None:
    ingest([folder], root, encoder)
    folder.rename(tmp_path / "moved")
    done = ingest([tmp_path / "moved"], root, encoder)
    assert (done.failed, done.documents) == ((), 5)


def test_what_is_not_there_is_refused(root: Path, encoder: HashEncoder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        ingest([tmp_path / "nothing"], root, encoder)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match="nothing that can be read"):
        ingest([tmp_path / "images"], root, encoder)
    assert Versions(root).current() is None


def test_a_list_of_addresses_is_gathered(tmp_path: Path) -> None:
    (tmp_path / "pages.urls").write_text("# ours\nhttps://bank.example/a\n\nhttps://bank.example/b\n")
    blobs, folders = gather([tmp_path / "pages.urls", "https://bank.example/c"])
    assert [b.source[-1] for b in blobs] == ["a", "b", "c"] and folders == []


def test_a_private_address_is_a_failure_that_stops_nothing(folder: Path, root: Path, encoder: HashEncoder) -> None:
    done = ingest([folder, "http://127.0.0.1:9/secret"], root, encoder)
    assert [f.source for f in done.failed] == ["http://127.0.0.1:9/secret"]
    assert "could not be fetched" in done.failed[0].reason
    assert len(done.added) == 5


def test_documents_are_removed_by_id_but_not_the_last(folder: Path, root: Path, encoder: HashEncoder) -> None:
    ingest([folder], root, encoder)
    assert remove(["pin"], root, encoder).removed == ("pin",)
    assert "pin" not in {d.id for d in Knowledge.open(root, encoder).documents()}
    with pytest.raises(InputError, match="no document 'pin'"):
        remove(["pin"], root, encoder)
    with pytest.raises(InputError, match="empty"):
        remove([d.id for d in Knowledge.open(root, encoder).documents()], root, encoder)


def test_versions_are_listed_compared_and_rolled_back(folder: Path, root: Path, encoder: HashEncoder) -> None:
    ingest([folder], root, encoder)
    (folder / "pin.md").unlink()
    ingest([folder], root, encoder)
    listed = versions(root)
    assert [(v.number, v.served, v.documents) for v in listed] == [(2, True, 4), (1, False, 5)]
    assert listed[0].changes == {"added": 0, "changed": 0, "removed": 1}
    changed = diff_versions(root, encoder, ["change a PIN", "exchange rate weekend"], 1)
    assert changed[0].query == "change a PIN" and "pin#0" in changed[0].lost
    assert rollback(root).number == 1
    assert len(Knowledge.open(root, encoder).documents()) == 5


def test_a_search_goes_on_while_versions_come_and_go(folder: Path, root: Path, encoder: HashEncoder) -> None:
    ingest([folder], root, encoder)
    retrieval = Retrieval(root, HashEncoder())
    stop, failures, answered = threading.Event(), [], []

    def ask() -> None:
        while not stop.is_set():
            try:
                found = retrieval.search("cash abroad costs", ("public",))
                answered.append(found[0].document.id)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(6):
            (folder / "extra.txt").write_text(f"Something else, number {number}.")
            ingest([folder], root, HashEncoder(), keep=2)
            if number == 3:
                rollback(root)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert set(answered) == {"fees"}
    assert retrieval.refresh() == Versions(root).current()


def test_writers_take_turns(root: Path) -> None:
    def bring(name: str) -> None:
        data = f"The text of {name}.".encode()
        ingest_blobs([Blob(f"upload:{name}", f"{name}.txt", lambda: data)], root, HashEncoder(), keep=20)

    threads = [threading.Thread(target=bring, args=(f"doc{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {d.id for d in Knowledge.open(root, HashEncoder()).documents()} == {f"doc{n}" for n in range(6)}


KILLED = """
import sys, os, signal
from pathlib import Path
from tests.verticals.support.conftest import HashEncoder
from core.search.hybrid import HybridIndex
from core.search.versions import Versions
from verticals.support.knowledge import ingest as module, store

folder, root, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def die(*a, **k):
    os.kill(os.getpid(), signal.SIGKILL)

if moment == "reading":
    original = module._take
    module._take = lambda plan, blob, groups: die() if "rates" in blob.source else original(plan, blob, groups)
elif moment == "encoding":
    HashEncoder.encode = die
elif moment == "writing":
    original = HybridIndex.write
    HybridIndex.write = lambda self, folder: (original(self, folder), die())
elif moment == "pointing":
    Versions._point = die
elif moment == "pruning":
    Versions._prune = die
module.ingest([folder], root, HashEncoder())
"""


@pytest.mark.parametrize("moment", ["reading", "encoding", "writing", "pointing", "pruning"])
def test_killed_at_any_moment_nothing_is_lost(
    moment: str, folder: Path, root: Path, encoder: HashEncoder, tmp_path: Path
) -> None:
    ingest([folder], root, encoder)
    (folder / "new.txt").write_text("Loans are not offered.")
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    here = str(Path(__file__).parents[4])
    environment = {**os.environ, "PYTHONPATH": here}
    done = subprocess.run([sys.executable, str(script), str(folder), str(root), moment], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    served = {d.id for d in Knowledge.open(root, encoder).documents()}
    assert served in (set(ARTICLES), {*ARTICLES, "new"})
    assert served == ({*ARTICLES, "new"} if moment == "pruning" else set(ARTICLES))
    after = ingest([folder], root, encoder)
    assert {d.id for d in Knowledge.open(root, encoder).documents()} == {*ARTICLES, "new"}
    assert after.failed == () and not list(root.glob(".new-*"))


def test_progress_is_told(folder: Path, root: Path, encoder: HashEncoder) -> None:
    told: list[tuple[int, int]] = []
    ingest([folder], root, encoder, progress=lambda done, total, source: told.append((done, total)))
    assert told[0] == (0, 5) and told[-1] == (5, 5)
