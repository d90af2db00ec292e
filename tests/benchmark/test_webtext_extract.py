import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from expression_leakage.benchmark.webtext.extract import PageExtractor

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
NESTED = b"<a><div>" * 100_000
# Each of the last elements repeats all of the unclosed ones: 250 million of them in 650 kB.
SWELLING = (
    b"<div>"
    + b"".join(b"<b id=%d>" % i for i in range(5_000))
    + b"</div>"
    + b"<div>x</div>" * 50_000
)


@pytest.fixture(scope="module")
def extractor():
    with PageExtractor() as extractor:
        yield extractor


def lines(extractor: PageExtractor, html: str | bytes, charset: str | None = None) -> list[str]:
    text, fault = extractor.text(html.encode() if isinstance(html, str) else html, charset)
    assert not fault
    return [line.strip() for line in text.decode().splitlines() if line.strip()]


def test_each_block_is_a_line(extractor):
    html = """<html><head><title>Not of the page</title></head><body><h1>A heading</h1>
    <p>A paragraph that runs
    over <em>two</em> lines.</p><ul><li>First point.<li>Second point.</ul>
    <table><tr><td>A cell.</td></tr></table><div>A block.<p>Another.</div></body></html>"""
    expected = ["A heading", "A paragraph that runs over two lines.", "First point."]
    expected += ["Second point.", "A cell.", "A block.", "Another."]
    assert lines(extractor, html) == expected


def test_what_is_not_text_of_the_page_is_left_out(extractor):
    html = """<body><script>var no = 1;</script><style>p {}</style><noscript>Off.</noscript>
    <img src=x alt="A picture."><form><input value="A value."><button>Send</button>
    <textarea>Write here.</textarea></form><!-- A remark. -->
    <p>Text with <a href="http://example.org/away">a link</a>.</p>"""
    assert lines(extractor, html) == ["Text with a link."]


def test_navigation_stays_for_the_rules_to_drop(extractor):
    html = "<nav><a href=/>Home</a></nav><main><p>Text.</p></main><footer>Imprint</footer>"
    assert lines(extractor, html) == ["Home", "Text.", "Imprint"]


@pytest.mark.parametrize(
    ("encoding", "charset"),
    [
        ("utf-8", None),
        ("utf-8", "iso-8859-1"),
        ("utf-8-sig", "iso-8859-1"),
        ("cp1252", None),
        ("cp1252", "windows-1252"),
        ("cp1252", "utf-8"),
        ("cp1252", "no-such-name"),
        ("utf-16", None),
        ("utf-16", "iso-8859-1"),
        ("utf-16-le", "utf-16le"),
        ("mac-roman", "macintosh"),
        ("cp1250", "windows-1250"),
    ],
)
def test_the_encoding_is_the_servers_unless_the_bytes_tell_better(extractor, encoding, charset):
    text = "The façade of the café – “closed” since Märzen – was naïve."
    if encoding == "cp1250":
        text = "The façade of Łódź – “closed” – was naive."
    assert lines(extractor, f"<p>{text}</p>".encode(encoding), charset) == [text]


def test_the_encoding_named_in_the_page_is_used(extractor):
    html = '<meta charset="windows-1250"><p>Dvořák žije v Brně.</p>'.encode("cp1250")
    assert lines(extractor, html) == ["Dvořák žije v Brně."]


def test_pages_larger_than_a_pipe_pass_both_ways(extractor):
    words = "word " * 200_000
    for html in (f"<p>{words}</p>", "<p>", f"<!--{words}-->"):
        assert lines(extractor, html) == ([words.strip()] if html.startswith("<p>w") else [])


@pytest.mark.parametrize(
    ("html", "fault"), [(NESTED, "timeout"), (SWELLING, "crashed")], ids=["nested", "swelling"]
)
def test_a_page_that_takes_too_much_costs_itself_only(html, fault):
    seconds = 0.3 if fault == "timeout" else 20
    with PageExtractor(seconds) as extractor:
        assert lines(extractor, "<p>Before.") == ["Before."]
        assert extractor.text(html) == (b"", fault)
        assert lines(extractor, "<p>After.") == ["After."]


def test_a_page_that_kills_the_child_costs_itself_only():
    with PageExtractor() as extractor:
        assert lines(extractor, "<p>Before.") == ["Before."]
        os.kill(extractor._child.pid, signal.SIGSEGV)
        assert extractor.text(b"<p>" + b"word " * 100_000) == (b"", "crashed")
        assert lines(extractor, "<p>After.") == ["After."]


def test_a_child_that_cannot_start_is_no_fault_of_the_page(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        PageExtractor() as extractor,
        pytest.raises(RuntimeError, match="cannot be run: exit status 1"),
    ):
        extractor.text(b"<p>Text.")


@pytest.mark.parametrize("html", [b"<p>Text.", NESTED], ids=["idle", "busy"])
def test_the_child_ends_when_its_parent_is_killed(html):
    program = (
        "import sys, threading, time\n"
        "from expression_leakage.benchmark.webtext.extract import PageExtractor\n"
        "extractor = PageExtractor(1.0); extractor.text(b'')\n"
        "threading.Thread(target=extractor.text, args=[sys.stdin.buffer.read()]).start()\n"
        "time.sleep(0.2); print('busy', flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(SCRIPTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,  # which the child inherits, so that it ends with the last of both
    )
    parent.stdin.write(html)
    parent.stdin.close()
    assert parent.stdout.readline() == b"busy\n"
    parent.kill()
    with parent:
        parent.stdin = None
        assert parent.communicate(timeout=30)[1] == b""
