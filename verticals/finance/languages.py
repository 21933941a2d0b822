"""Which language is a text in: its letters, what the source said, its commonest words, else py3langid."""

import re

_CHINESE = re.compile("[\u3400-\u9fff\uf900-\ufaff]")
_KANA = re.compile("[\u3040-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7af]")
_LETTER = re.compile(r"[^\W\d_]")
_ENGLISH = frozenset(
    ("the", "of", "to", "in", "for", "and", "as", "on", "with", "after", "is", "are", "at", "by", "from", "its", "amid")
    + ("over", "says", "say", "said", "will", "has", "have", "be", "new", "up", "but", "than", "more", "not", "it")
    + ("this", "that", "was", "what", "who", "why", "how")
)
MANY_WORDS = 8  # a shorter headline without a single common word is names and figures, which look like any language


def language_of(text: str, told: str | None = None) -> str:
    """Two letters (ISO 639-1). Letters win over ``told``: feeds declare 'en' and carry Chinese headlines."""
    if _KANA.search(text):
        return "ja"
    if _HANGUL.search(text):
        return "ko"
    signs = len(_CHINESE.findall(text))
    if signs and signs / max(1, len(_LETTER.findall(text))) > 0.2:
        return "zh"
    declared = (told or "").strip().lower().replace("_", "-").partition("-")[0]
    if len(declared) == 2 and declared.isalpha() and declared != "zh":
        return declared
    words = text.casefold().split()
    if len(words) < MANY_WORDS or not _ENGLISH.isdisjoint(words):
        return "en"
    import py3langid

    return str(py3langid.classify(text[:2000])[0])
