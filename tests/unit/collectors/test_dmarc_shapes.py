"""Records that are read by a pattern give what they give one by one, and nothing that is no record is taken for one."""

from __future__ import annotations

from pyexpat import ParserCreate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.dmarc import Limits, parse_aggregate
from collectors.dmarc.defects import Meter
from collectors.dmarc.fold import Fold
from collectors.dmarc.shapes import ShapedFeed
from core.state import DmarcReport

HEAD = """<feedback><report_metadata><org_name>Mailhaus</org_name><email>d@mailhaus.example</email>
<report_id>r1</report_id><date_range><begin>1793000000</begin><end>1793086399</end></date_range></report_metadata>
<policy_published><domain>news.example</domain><p>none</p></policy_published>
"""
RECORD = """  <record><row><source_ip>{ip}</source_ip><count>{count}</count><policy_evaluated>
    <disposition>none</disposition><dkim>{dkim}</dkim><spf>fail</spf>{reason}</policy_evaluated></row>
    <identifiers><header_from>{sender}</header_from></identifiers>
    <auth_results>{auth}<spf><domain>b.news.example</domain><result>fail</result></spf></auth_results></record>
"""
SIGNED = "<dkim><domain>{d}</domain><selector>s1</selector><result>pass</result></dkim>"
# what the results of one record may differ in; the last two say little or nothing
SIGNATURES = (
    SIGNED.format(d="news.example"), SIGNED.format(d="other.example").replace("s1", "s2"),
    SIGNED.format(d="news.example").replace("pass</result>", "fail</result><human_result>body hash</human_result>"),
    "<dkim><selector>s7</selector><domain>news.example</domain></dkim>", "<dkim><result>none</result></dkim>",
    "<dkim/>",
)  # fmt: skip
REASONS = (
    "<reason><type>other</type><comment>a b</comment></reason>", "<reason><type>forwarded</type></reason>",
    "<reason><comment/></reason>",
)  # fmt: skip
# what makes a record unlike the others, and what must not be skipped
ODD = (
    "", "<!-- </record> -->", "<record/>", "<x y='>'/>", "<record></record>", "junk &amp; more", "<![CDATA[<record>]]>",
    "<version>1</version>", "<ns:record xmlns:ns='urn:x'><row><count>3</count></row></ns:record>",
)  # fmt: skip


def record(ip: str, count: str, sender: str, signatures: list[str], reasons: list[str], dkim: str) -> str:
    return RECORD.format(
        ip=ip, count=count, sender=sender, dkim=dkim, auth="".join(signatures), reason="".join(reasons)
    )


RECORDS = st.builds(
    record,
    st.sampled_from(["192.0.2.1", "2001:DB8::1", "not one", " 192.0.2.9 ", ""]),
    st.sampled_from(["1", "7", "-1", "2.0", "x", "3</count><count>4"]),
    st.sampled_from(["news.example", "NEWS.example.", "a&amp;b.example", "müller.example", "", "x" * 1500]),
    st.lists(st.sampled_from(SIGNATURES), max_size=4),
    st.lists(st.sampled_from(REASONS), max_size=3),
    st.sampled_from(["pass", "fail", "maybe"]),
)


def read(text: str) -> DmarcReport:
    (report,) = parse_aggregate(text.encode())
    assert isinstance(report, DmarcReport), report
    return report


@given(
    st.lists(RECORDS, min_size=1, max_size=4), st.lists(st.tuples(st.integers(0, 3), st.sampled_from(ODD)), max_size=40)
)
def test_a_report_is_the_sum_of_its_records(kinds: list[str], order: list[tuple[int, str]]) -> None:
    """Given records of few kinds in any order, then each gives what it gives in a report of its own."""
    parts = [kinds[number % len(kinds)] + odd for number, odd in order] * 2
    whole = read(HEAD + kinds[0] * 12 + "".join(parts) + "</feedback>")
    alone = [read(HEAD + part + "</feedback>") for part in [kinds[0]] * 12 + parts]
    assert whole.records == tuple(one for report in alone for one in report.records)
    assert len(whole.refused) == sum(len(report.refused) for report in alone)
    assert whole.refused_messages == sum(report.refused_messages for report in alone)


PLAIN = record("192.0.2.1", "2", "news.example", [SIGNATURES[0]], [], "pass")


def test_records_inside_a_comment_are_none() -> None:
    text = HEAD + PLAIN * 20 + "<!-- " + PLAIN * 5 + " -->" + PLAIN * 3 + "</feedback>"
    assert len(read(text).records) == 23


def test_a_report_that_breaks_late_keeps_everything_before() -> None:
    text = HEAD + PLAIN * 500 + PLAIN.replace("</count>", "") + PLAIN * 30
    report = read(text)
    assert len(report.records) + len(report.refused) == 531
    line = (HEAD + PLAIN * 500 + PLAIN[: PLAIN.index("</row>")]).count("\n") + 1
    assert f"line {line})" in report.notes[0]


def test_the_limit_of_records_holds() -> None:
    (report,) = parse_aggregate((HEAD + PLAIN * 60 + "</feedback>").encode(), "x", Limits(records=40))
    assert isinstance(report, DmarcReport)
    assert (len(report.records), len(report.refused), report.refused_messages) == (40, 20, 40)


class _Counting:
    """The strict reader, counting what reaches it."""

    def __init__(self, fold: Fold) -> None:
        self.parser = ParserCreate()
        self.parser.StartElementHandler, self.parser.EndElementHandler = fold.begin, fold.end
        self.parser.CharacterDataHandler = fold.chars
        self.given = 0

    def give(self, text: bytes) -> None:
        self.given += len(text)
        self.parser.Parse(text, False)

    def at_rest(self) -> bool:
        return self.parser.CurrentByteIndex == self.given


VARIED = "".join(  # other values, and another number of everything that may come several times, in each
    record(
        f"192.0.2.{number % 250}", "2", "news.example", [SIGNED.format(d=f"d{number}.example")] * (number % 5),
        [REASONS[0].replace("a b", f"arc {number}")] * (number // 5 % 4), "pass",
    )
    for number in range(1000)
)  # fmt: skip


@pytest.mark.parametrize("cut", [40, 701, 65_536])
@pytest.mark.parametrize("records", [PLAIN * 1000, VARIED], ids=["alike", "varied"])
def test_few_records_of_a_long_report_reach_the_reader(cut: int, records: str) -> None:
    fold = Fold(Meter(Limits()))
    reader = _Counting(fold)
    feed = ShapedFeed(fold, reader)
    text = (HEAD + records + "</feedback>").encode()
    for at in range(0, len(text), cut):
        feed.feed(text[at : at + cut])
    feed.end()
    assert fold.counted() == (1000, 2000)
    assert reader.given < len(HEAD) + 15 * len(records) / 1000 * 3


def test_what_is_written_anew_each_time_is_too_laborious_beyond_the_limit_of_time() -> None:
    text = HEAD + PLAIN.replace("<row>", "<row><!-- -->") * 3000 + "</feedback>"
    (refused,) = parse_aggregate(text.encode(), "x", Limits(cpu_seconds=0.0001))
    assert "too_slow" in str(refused)
