"""Pages that nobody wrote for this project: packages of Debian, crawled over loopback."""

import socket
from collections import Counter
from pathlib import Path

import crawl
import pytest
from warcio.archiveiterator import ArchiveIterator

from expression_leakage.benchmark.pairing import Tolerances
from expression_leakage.benchmark.webtext.embed import static_vectors
from expression_leakage.benchmark.webtext.judge import JudgeRules, judge
from expression_leakage.benchmark.webtext.pair import pair
from expression_leakage.benchmark.webtext.read import read_pages
from expression_leakage.benchmark.webtext.reduce import select
from expression_leakage.benchmark.webtext.scheme import Rules, candidates
from expression_leakage.benchmark.webtext.sentences import read_blocklist

WEBTEXT = Path(__file__).parents[1] / "resources" / "webtext"
PACKAGES = ["debian-faq", "anarchism"]  # 0.5 and 7 MB to download


def records(path, kind):
    """Headers, status and content of a file's records of one kind, as warcio reads them."""
    with path.open("rb") as stream:
        return [
            (dict(record.rec_headers.headers), record.http_headers, record.content_stream().read())
            for record in ArchiveIterator(stream)
            if record.rec_type == kind
        ]


@pytest.fixture(scope="module")
def wet(tmp_path_factory):
    try:
        return crawl.crawl(tmp_path_factory.mktemp("crawl"), PACKAGES)
    except crawl.UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def pages(wet):
    return list(read_pages(wet, wet.name, Counter()))


@pytest.mark.slow
def test_every_page_is_read_as_warcio_reads_it(wet, pages):
    oracle = {
        (headers["WARC-Target-URI"], headers["WARC-Record-ID"].strip("<>")): content.decode()
        for headers, _, content in records(wet, "conversion")
    }
    assert len(oracle) > 100
    assert {(page.url, page.record_id): page.text for page in pages} == oracle
    assert len(pages) == len(oracle)
    assert all(page.text.strip() for page in pages)


@pytest.mark.slow
def test_every_html_page_of_the_crawl_became_one_of_the_wet_file(wet):
    answers = {
        headers["WARC-Record-ID"]: headers["WARC-Target-URI"]
        for headers, http, _ in records(wet.with_name("crawl.warc.gz"), "response")
        if http.get_statuscode() == "200"
    }
    made = [headers for headers, _, _ in records(wet, "conversion")]
    assert {m["WARC-Refers-To"]: m["WARC-Target-URI"] for m in made} == answers
    assert len(made) == len(answers)


@pytest.mark.slow
def test_each_package_is_a_host_of_its_own_and_its_text_is_prose(pages):
    for package, phrase in zip(PACKAGES, ["Debian GNU/Linux", "anarchis"], strict=True):
        site = f"http://{crawl.address(package)}:{crawl.PORT}/"
        own = [page.text for page in pages if page.url.startswith(site)]
        assert len(own) > 10
        assert sum(phrase in text for text in own) > len(own) / 2
        assert not any("</p>" in text for text in own)


@pytest.mark.slow
def test_all_packages_together_yield_a_hundred_items(tmp_path):
    try:
        wet = crawl.crawl(tmp_path)
    except crawl.UnavailableError as error:
        pytest.skip(str(error))
    funnel = Counter()
    found = candidates(
        read_pages(wet, wet.name, funnel),
        Rules(),
        read_blocklist(WEBTEXT / "blocklist.txt"),
        {},
        funnel,
    )
    offline = judge({"kind": "offline"}, WEBTEXT / "valence.json", WEBTEXT / "plain_words.yaml")
    sentences = select(found, 0.7, offline, JudgeRules(), funnel)
    # As declared in docs/webtext.md: charged sentences are scarce in documentation.
    tolerances = Tolerances(words=1, valence=0.15, max_cosine=0.15, cosine=0.05)
    items, counts = pair(sentences, static_vectors, tolerances, max_reuse=8)
    assert counts["items"] == items["item_id"].nunique() >= 100
    assert items["topic"].nunique() >= 5


@pytest.mark.slow
def test_nothing_is_served_any_more(wet):
    for package in PACKAGES:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((crawl.address(package), crawl.PORT), timeout=5)


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(OSError, match=rf"127\.0\.0\.1:{port} .* name another --port"),
            crawl.serving(tmp_path, "127.0.0.1", port),
        ):
            pass


def test_without_wget_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(crawl.UnavailableError, match=r"no `wget` on the path: .* install it"):
        crawl.fetch(["http://127.0.0.1/"], tmp_path / "a.warc.gz")
    with pytest.raises(crawl.UnavailableError, match="no `apt-get` on the path"):
        crawl.unpack("anarchism", tmp_path)
