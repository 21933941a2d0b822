"""Feeds of every format, whole and broken, honest and hostile."""

import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verticals.finance.fetching.feeds import Context, Feed, Unreadable, parse_feed

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
AT = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
CONTEXT = Context("wire", "https://news.example/rss/all.xml", NOW, tags=("wire",))

RSS = """<?xml version="1.0" encoding="ISO-8859-1"?>
<!-- a comment -->
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/">
<channel><title>Wire</title><link>https://news.example/</link><language>en-us</language><ttl>45</ttl>
<image><title>Logo</title><url>/l.png</url></image>
<item><title>Profit &lt;b&gt;falls&lt;/b&gt; at A&amp;amp;B</title><link>/2026/profit?utm_source=rss</link>
 <guid isPermaLink="false">77</guid><pubDate>Mon, 02 Mar 2026 10:00:00 GMT</pubDate><category>Earnings</category>
 <description><![CDATA[<p>Down 5&nbsp;% &eacute;</p><script>x()</script>]]></description>
 <content:encoded><![CDATA[<p>Whole</p><p>text</p>]]></content:encoded></item>
<item><title>No link</title><guid>https://news.example/2026/second</guid><dc:date>2026-03-02T10:00:00Z</dc:date></item>
<item><description>Only a description here</description></item>
<item><link>/empty</link></item>
</channel></rss>"""

RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:sy="http://purl.org/rss/1.0/modules/syndication/">
<channel rdf:about="x"><title>R</title>
<sy:updatePeriod>hourly</sy:updatePeriod><sy:updateFrequency>2</sy:updateFrequency>
</channel><item rdf:about="https://news.example/1"><title>One</title><link>https://news.example/1</link>
<dc:date>2026-03-02T10:00:00Z</dc:date></item></rdf:RDF>"""

ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="de" xml:base="https://base.example/dir/"><title>A</title>
<entry xml:base="sub/"><id>tag:x,1</id><title type="html">Gewinn &lt;i&gt;steigt&lt;/i&gt;</title>
<link rel="self" href="/self"/><link rel="enclosure" href="/a.mp3"/><link href="one.html"/>
<published>2026-03-02T11:00:00+01:00</published><updated>2026-03-05T00:00:00Z</updated>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Ein</p><p>Text</p></div></content></entry></feed>"""

JSON_FEED = {
    "version": "https://jsonfeed.org/version/1.1", "title": "J", "language": "zh-CN",
    "items": [
        {"id": 1, "url": "/1", "title": "净利润下降", "content_html": "<p>全文</p>",
         "date_published": "2026-03-02T10:00:00Z", "tags": ["a", 3, None]},
        {"id": "2", "external_url": "https://o.example/2", "content_text": "No title"}, "nonsense", {"id": "3"},
    ],
}  # fmt: skip


def read(text: str) -> Feed:
    return parse_feed(text, CONTEXT)


def test_rss() -> None:
    feed = read(RSS)
    assert (feed.format, feed.title, feed.language, feed.ttl) == ("rss", "Wire", "en-us", timedelta(minutes=45))
    first, second, third = feed.items
    assert first.title == "Profit falls at A&B"
    assert first.url == "https://news.example/2026/profit?utm_source=rss"
    assert (first.guid, first.published, first.tags) == ("77", AT, ("wire", "Earnings"))
    assert (first.summary, first.text) == ("Down 5 % é", "Whole text")
    assert (first.language, first.notes) == ("en-us", ())
    assert (second.url, second.published) == ("https://news.example/2026/second", AT)
    assert third.title == "Only a description here" and third.published is None and third.time == NOW
    assert any("no title" in note for note in third.notes) and any("no date" in note for note in third.notes)
    assert any("1 items had neither" in note for note in feed.notes)
    json.dumps([item.to_dict() for item in feed.items])


def test_rdf_and_its_update_period() -> None:
    feed = read(RDF)
    assert (feed.format, feed.ttl) == ("rdf", timedelta(minutes=30))
    assert [(i.title, i.url, i.published) for i in feed.items] == [("One", "https://news.example/1", AT)]


def test_atom_with_bases_and_xhtml() -> None:
    feed = read(ATOM)
    (entry,) = feed.items
    assert (feed.format, entry.language) == ("atom", "de")
    assert (entry.title, entry.text) == ("Gewinn steigt", "Ein Text")
    assert entry.url == "https://base.example/dir/sub/one.html"
    assert entry.published == AT  # first published, not last touched


def test_json_feed() -> None:
    feed = read("\ufeff" + json.dumps(JSON_FEED))
    one, two = feed.items
    assert (one.title, one.text, one.url, one.language) == ("净利润下降", "全文", "https://news.example/1", "zh-CN")
    assert (one.guid, one.tags) == ("1", ("wire", "a", "3"))
    assert (two.title, two.url) == ("No title", "https://o.example/2")


@pytest.mark.parametrize(
    ("mangle", "titles"),
    [
        (lambda t: t.replace("</item>\n</channel></rss>", ""), 3),  # cut off in the middle
        (lambda t: t.replace("&lt;b&gt;falls", "falls & rises <"), 3),
        (lambda t: t.replace("&amp;amp;", "&nosuch;"), 3),
        (lambda t: t.replace("Down", "Down \x0b\x00\ufffe"), 3),
        (lambda t: t.replace(' xmlns:content="http://purl.org/rss/1.0/modules/content/"', ""), 3),
        (lambda t: "\n\n \ufeff" + t, 3),
        (lambda t: t.replace('encoding="ISO-8859-1"', 'encoding="no-such"'), 3),
    ],
)
def test_broken_xml_is_mended(mangle: object, titles: int) -> None:
    feed = read(mangle(RSS))  # type: ignore[operator]
    assert len(feed.items) == titles
    assert feed.items[0].title.startswith("Profit") and feed.items[0].published == AT


def test_external_entities_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("TOP-SECRET")
    for kind in ("SYSTEM", 'PUBLIC "x"'):
        feed = read(
            f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY % p {kind} "{secret.as_uri()}"> %p; '
            f'<!ENTITY x {kind} "{secret.as_uri()}">]>'
            "<rss><channel><item><title>Profit &x; falls</title></item></channel></rss>"
        )
        assert "TOP-SECRET" not in repr(feed)
        assert feed.items[0].title.startswith("Profit")
        assert any("document type" in note for note in feed.notes)


def test_xinclude_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("TOP-SECRET")
    include = f'<xi:include href="{(tmp_path / "secret.txt").as_uri()}" parse="text"/>'
    item = f"<item><title>A {include}</title></item>"
    feed = read(f'<rss xmlns:xi="http://www.w3.org/2001/XInclude"><channel>{item}</channel></rss>')
    assert "TOP-SECRET" not in repr(feed)


@pytest.mark.parametrize("close", ["]>", ""])
def test_billion_laughs_stay_small(close: str) -> None:
    entities = '<!ENTITY a "ha">' + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(20))
    text = f"<!DOCTYPE rss [{entities}{close}<rss><channel><item><title>Laugh &u;</title></item></channel></rss>"
    start = time.monotonic()
    try:
        assert len(repr(read(text))) < 5000
    except Unreadable:
        assert not close  # without an end of the declaration nothing is left to read
    assert time.monotonic() - start < 5


def test_ten_thousand_items_take_bounded_time() -> None:
    item = "<item><title>Profit falls {0}%</title><link>/{0}</link><guid>{0}</guid>"
    item += "<description>&lt;p&gt;T&lt;/p&gt;</description>"
    item += "<pubDate>Mon, 02 Mar 2026 10:00:00 GMT</pubDate></item>"
    text = "<rss><channel>" + "".join(item.format(i) for i in range(10_000)) + "</channel></rss>"
    start = time.process_time()
    feed = read(text)
    assert time.process_time() - start < 8  # a second or two on an idle core
    assert len(feed.items) == 10_000 and feed.items[-1].title == "Profit falls 9999%"
    capped = parse_feed(text, CONTEXT, max_items=50)
    assert len(capped.items) == 50 and "first 50 of 10000" in capped.notes[0]


def test_deep_nesting_is_survived() -> None:
    for text in ("<rss><channel>" + "<a>" * 50_000, "[" * 100_000, '{"items":' * 50_000, "<" * 100_000):
        with suppress(Unreadable):
            read(text)


def test_future_and_missing_dates() -> None:
    feed = read(RSS.replace("02 Mar 2026 10:00", "02 Mar 2031 10:00"))
    assert feed.items[0].published == NOW and "future" in feed.items[0].notes[0]
    loose = parse_feed(
        RSS.replace("02 Mar 2026 10:00", "02 Mar 2031 10:00"), Context("wire", CONTEXT.url, NOW, clamp=False)
    )
    assert loose.items[0].published == datetime(2031, 3, 2, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("Not found", "no feed"),
        ("<html><head><link rel='alternate' type='application/rss+xml' href='/feed'></head></html>",
         "web page, not a feed; it names the feed https://news.example/feed"),
        ("<svg></svg>", "another kind"),
        ('{"a": 1}', "no list of items"),
        ('{"items": [', "JSON cannot be read"),
        ("<", "holds no XML"),
    ],
)  # fmt: skip
def test_what_is_no_feed_is_named(text: str, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        read(text)


@settings(max_examples=60)
@given(st.lists(st.sampled_from([*RSS.split(">"), *ATOM.split(">"), "<rss", "&#0;", "&#x110000;", "]]", "<![CDATA["])))
def test_any_shuffle_of_markup_gives_a_feed_or_is_unreadable(parts: list[str]) -> None:
    with suppress(Unreadable):
        assert isinstance(read("<rss><channel>" + ">".join(parts)), Feed)
