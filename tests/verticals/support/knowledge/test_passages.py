from hypothesis import given, settings
from hypothesis import strategies as st

from verticals.support.knowledge.documents import KnowledgeDocument, Section, Writer
from verticals.support.knowledge.passages import passages, sentences


def split(text: str) -> list[str]:
    return [text[s.start : s.end] for s in sentences(text)]


def test_sentences_end_where_they_end() -> None:
    assert split("It costs 2.5% a month. Is it free? No!") == ["It costs 2.5% a month.", "Is it free?", "No!"]
    assert split("Ask Mr. Smith, e.g. by chat. He knows.") == ["Ask Mr. Smith, e.g. by chat.", "He knows."]
    assert split("卡丢了。请先冻结！然后补办") == ["卡丢了。", "请先冻结！", "然后补办"]
    assert split("One line\nAnother line") == ["One line", "Another line"]
    assert split("He said “Stop.” Then he left.") == ["He said “Stop.”", "Then he left."]


@given(st.text(alphabet="ab.!? \n。é", max_size=200))
def test_sentences_hold_all_that_is_not_blank_and_never_overlap(text: str) -> None:
    found = list(sentences(text))
    assert all(text[s.start : s.end].strip() == text[s.start : s.end] != "" for s in found)
    assert all(a.end <= b.start for a, b in zip(found, found[1:], strict=False))
    assert "".join("".join(text[s.start : s.end].split()) for s in found) == "".join(text.split())


def document(text: str, sections: tuple[Section, ...]) -> KnowledgeDocument:
    return KnowledgeDocument("d", "D", text, sections, "en", ("public",), "s", "x")


@settings(max_examples=50)
@given(st.lists(st.text(alphabet="word .", min_size=1, max_size=60), min_size=1, max_size=8), st.integers(1, 12))
def test_passages_cover_their_sections_within_the_size(blocks: list[str], words: int) -> None:
    writer = Writer()
    for n, block in enumerate(blocks):
        if n % 3 == 0:
            writer.heading(f"H{n}")
        writer.block(block)
    parsed = writer.done()
    found = passages(document(parsed.text, parsed.sections), words)
    kept = "".join("".join(parsed.text[s.start : s.end].split()) for p in found for s in p.sentences)
    assert kept == "".join(parsed.text.split())
    for passage in found:
        size = sum(len(parsed.text[s.start : s.end].split()) for s in passage.sentences)
        assert size <= words or len(passage.sentences) == 1
        assert (passage.start, passage.end) == (passage.sentences[0].start, passage.sentences[-1].end)
        assert any(s.start <= passage.start and passage.end <= s.end for s in parsed.sections)
