import pytest
from hypothesis import given
from hypothesis import strategies as st

from verticals.support.redaction import find, redact

# Test numbers that card schemes, banks' registries and regulators publish for this purpose; nobody's own.
CARDS = """4111 1111 1111 1111
4111111111111111
4111-1111-1111-1111
5555 5555 5555 4444
5105105105105100
2223003122003222
3782 822463 10005
371449635398431
6011 1111 1111 1117
3530111333300000
30569309025904
6304000000000000
4000.0566.5566.5556
４１１１ １１１１ １１１１ １１１１"""
IBANS = """GB82 WEST 1234 5698 7654 32
GB82WEST12345698765432
gb82 west 1234 5698 7654 32
DE89 3704 0044 0532 0130 00
DE89370400440532013000
FR14 2004 1010 0505 0001 3M02 606
NL91ABNA0417164300
NL91 ABNA 0417 1643 00
ES91 2100 0418 4502 0005 1332
IT60 X054 2811 1010 0000 0123 456
BE68 5390 0754 7034
CH93 0076 2011 6238 5295 7
PL61 1090 1014 0000 0712 1981 2874
NO93 8601 1117 947
GB82-WEST-1234-5698-7654-32"""
EMAILS = """jo.bloggs@example.com
jo+bank@mail.example.co.uk
JO_BLOGGS@EXAMPLE.ORG
jo@example.com.
o'neil@example.net
first.last-name@sub.example.com
jo (at) example (dot) com
jo[at]example[dot]com
jo @ example.com
jo at example dot com
客服联系jo@example.com谢谢"""
PHONES = """07700 900123
+44 7700 900123
+447700900982
0044 7700 900 456
(020) 7946 0018
020 7946 0958
01632 960001
+1 202-555-0143
(202) 555-0143
202.555.0187
+1 (415) 555-0132
+49 30 23125 000
+33 1 99 00 12 34
13800138000
+86 138 0013 8000
138-0013-8000
call me on 555-0143
my mobile is 7700 900 321
＋４４ ７７００ ９００１２３"""
NAMES = [
    ("Hi, this is Testname Example, my card is late", "Testname Example"),
    ("My name is Placeholder and I lost my PIN", "Placeholder"),
    ("hello, I'm Placeholder van Example", "Placeholder van Example"),
    ("Dear Ms Example, where is my refund?", "Example"),
    ("Placeholder here, the app is down", "Placeholder"),
    ("Where is it?\n\nKind regards,\nPlaceholder Example", "Placeholder Example"),
    ("It still fails. Thanks, Placeholder", "Placeholder"),
    ("Mr. Example-Test asked you yesterday", "Example-Test"),
    ("你好，我叫张三，我的卡丢了", "张三"),
]
HARMLESS = """I paid 1,234,567.89 USD on 2024-03-05 and 12/04/2024
The fee was £1500000 last year
Error 404 at 10:45, order 12345, version 10.0.19045.3803
reference 20240301123456 does not load
My card still hasn't arrived after 2 weeks, what now?
Hi, I am waiting for my Visa card
Thanks, that helped
Dear Support Team, hello again
I topped up 100 three times: 100 100 100
exchange rate 1.0853 against 1.0861
see https://example.com/help/10023456
2019-2020 was 3.5% higher than 2018-2019
Apple Pay and Google Pay both fail, this is Urgent
我的卡还没有到，已经两个星期了"""
WRAPS = ["{}", "my details: {}", "please use {} from now on", "({})", "{}, thanks", "用这个：{}"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (kind, value)
        for kind, block in (("card", CARDS), ("iban", IBANS), ("email", EMAILS), ("phone", PHONES))
        for value in block.splitlines()
    ],
)
@pytest.mark.parametrize("wrap", WRAPS)
def test_what_identifies_a_person_goes(kind: str, value: str, wrap: str) -> None:
    found = redact(wrap.format(value))
    assert found.counts == {kind: 1}, found
    assert not any(c.isdigit() for c in found.text) and "example" not in found.text.lower()


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_names_people_give_or_sign_with_go(text: str, name: str) -> None:
    found = redact(text)
    assert name not in found.text and "[name]" in found.text
    assert [text[f.start : f.end] for f in found.finds] == [name]


@pytest.mark.parametrize("text", HARMLESS.splitlines())
def test_what_identifies_nobody_stays(text: str) -> None:
    assert redact(text).text == text


def test_mistyped_numbers_go_when_the_words_say_what_they_are() -> None:
    assert redact("my card 4111 1111 1111 1112 is blocked").text == "my card [card] is blocked"
    assert redact("IBAN GB82 WEST 1234 5698 7654 33 does not work").text == "IBAN [iban] does not work"


def test_several_in_one_message() -> None:
    text = "Hi, this is Placeholder. 4111 1111 1111 1111, GB82 WEST 1234 5698 7654 32 or jo@example.com / 07700 900123"
    assert redact(text).text == "Hi, this is [name]. [card], [iban] or [email] / [phone]"


@given(st.text(max_size=200))
def test_any_text_survives_and_a_second_pass_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(once.text).text == once.text
    ends = [0, *(position for found in find(text) for position in (found.start, found.end)), len(text)]
    assert ends == sorted(ends)


@given(st.text(alphabet="+-(). 0123456789", max_size=60))
def test_no_run_of_signs_is_slow_or_breaks(text: str) -> None:
    redact(text)
