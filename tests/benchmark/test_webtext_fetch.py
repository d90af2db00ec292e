import gzip
import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from loopback_web import Held, Web, serving

from expression_leakage.benchmark.webtext.fetch import draw_all, fetch
from expression_leakage.benchmark.webtext.sources import listings, resolve
from expression_leakage.errors import InputError

BODY = hashlib.shake_256(b"a file of the web").digest(300_000)  # more than one block
SHA256 = hashlib.sha256(BODY).hexdigest()
LIBRARY = Path(__file__).parents[2] / "workflow/scripts"


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(Web()) as web:
        yield web


@pytest.fixture
def target(tmp_path):
    return tmp_path / "pages.warc.wet.gz"


@pytest.fixture
def get(target):
    """Fetch without waiting; what would have been waited is in `get.waits`."""

    def get(url, **how):
        get.waits = []
        return fetch(url, target, sleep=get.waits.append, **how)

    return get


@pytest.fixture
def refused(get, target):
    """Fetch what cannot be had: one line, and nothing left behind."""

    def refused(url, match, **how):
        with pytest.raises(InputError, match=match) as raised:
            get(url, **how)
        assert "\n" not in str(raised.value)
        assert list(target.parent.iterdir()) == []

    return refused


def test_a_file_arrives_whole_under_its_name_alone(web, get, target):
    fetched = get(web.add("/x.gz", BODY))
    assert fetched == {"url": f"{web.url}/x.gz", "bytes": 300_000, "sha256": SHA256, "attempts": 1}
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert target.read_bytes() == BODY


def test_a_body_is_kept_as_it_was_sent(web, get, target):
    labelled = {"Content-Encoding": "gzip"}  # as some servers say of every .gz
    get(web.add("/x.gz", BODY, headers=labelled))
    assert target.read_bytes() == BODY
    assert web.headers("Accept-Encoding") == ["identity"]


@pytest.mark.parametrize("status", [403, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again_after_longer_and_longer_waits(web, get, target, status):
    fetched = get(web.add("/x", BODY, failing=[status] * 4), back_off=0.5)
    assert (fetched["attempts"], get.waits) == (5, [0.5, 1, 2, 4])
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("status", [400, 401, 404, 410, 204, 304])
def test_a_lasting_failure_is_not_tried_again(web, refused, get, status):
    url = web.add("/x", BODY, failing=[status])
    refused(url, rf"^{url}: HTTP {status} — correct the URL, or fetch the file yourself")
    assert get.waits == []


def test_a_server_that_never_recovers_is_given_up_after_the_last_attempt(web, refused, get):
    url = web.add("/x", BODY, failing=[503] * 99)
    refused(url, rf"^{url}: HTTP 503, as of attempt 3 — run again later, or fetch", retries=2)
    assert (len(web.asked), get.waits) == (3, [1, 2])


def test_what_stood_under_the_name_survives_a_failure(web, get, target):
    target.write_bytes(b"of yesterday")
    with pytest.raises(InputError, match="HTTP 404"):
        get(f"{web.url}/gone")
    assert target.read_bytes() == b"of yesterday"


@pytest.mark.parametrize(
    ("said", "wait"), [("7", 7), ("0", 1), ("86400", 120), ("soon", 1), ("-5", 1), ("²", 1)]
)
def test_retry_after_in_seconds_is_waited_for_within_reason(web, get, said, wait):
    get(web.add("/x", BODY, failing=[429], headers={"Retry-After": said}))
    assert get.waits == [wait]


@pytest.mark.parametrize(("ahead", "least", "most"), [(60, 50, 60), (-60, 1, 1), (9999, 120, 120)])
def test_retry_after_as_a_date_is_waited_for_within_reason(web, get, ahead, least, most):
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    get(web.add("/x", BODY, failing=[503], headers={"Retry-After": until}))
    assert least <= get.waits[0] <= most


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_body_that_breaks_off_is_fetched_again_from_its_beginning(web, get, target, how):
    fetched = get(web.add("/x", BODY, breaks=[100_000, 250_000], how=how))
    assert (fetched["attempts"], fetched["sha256"]) == (3, SHA256)
    assert target.read_bytes() == BODY
    assert web.headers("Range") == [None] * 3


@pytest.mark.parametrize(
    "mark", [{"ETag": '"v1"'}, {"ETag": 'W/"v1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}]
)
def test_a_body_that_breaks_off_is_continued_where_the_server_sends_parts(web, get, target, mark):
    fetched = get(web.add("/x", BODY, breaks=[200_000, 50_000], ranges=True, headers=mark))
    assert (fetched["attempts"], fetched["sha256"]) == (3, SHA256)
    assert target.read_bytes() == BODY
    starts = [int(said[len("bytes=") : -1]) for said in web.headers("Range")[1:]]
    assert 0 < starts[0] <= 200_000
    assert starts[0] < starts[1] <= starts[0] + 50_000
    assert set(web.headers("If-Range")[1:]) == {list(mark.values())[-1]}


def test_a_failure_between_two_parts_loses_nothing(web, target):
    url = web.add("/x", BODY, breaks=[200_000], ranges=True, headers={"ETag": '"v1"'})

    def fail_next(wait):
        web.files["/x"].failing = [503] if len(web.asked) == 1 else []

    assert fetch(url, target, sleep=fail_next)["attempts"] == 3
    assert target.read_bytes() == BODY
    _, after_break, after_failure = web.headers("Range")
    assert after_break
    assert after_failure == after_break


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(web, target):
    url = web.add("/x", BODY[::-1], breaks=[200_000], ranges=True, headers={"ETag": '"v1"'})

    def change(wait):
        web.files["/x"] = Held(BODY, ranges=True, headers={"ETag": '"v2"'})

    assert fetch(url, target, sleep=change)["sha256"] == SHA256
    assert web.headers("If-Range") == [None, '"v1"']
    assert target.read_bytes() == BODY


def test_parts_of_an_unmarked_file_are_not_put_together(web, get, target):
    get(web.add("/x", BODY, breaks=[200_000], ranges=True))
    assert web.headers("Range") == [None, None]
    assert target.read_bytes() == BODY


def test_a_part_that_was_not_asked_for_is_refused(web, target):
    odd = {"ETag": '"v1"', "Content-Range": "bytes 5-299999/300000"}
    url = web.add("/x", BODY, breaks=[200_000], headers=odd)

    def part(wait):
        web.files["/x"].failing = [206] if len(web.asked) == 1 else []

    assert fetch(url, target, sleep=part)["attempts"] == 3
    assert web.headers("Range")[2] is None
    assert target.read_bytes() == BODY


def test_a_part_of_the_length_it_announced_is_not_taken_for_the_whole(web, target):
    start = {"Content-Range": "bytes 0-7/300000", "Content-Length": "8"}
    url = web.add("/x", BODY, failing=[206], headers=start)

    def mend(wait):
        web.files["/x"].headers = {}

    assert fetch(url, target, sleep=mend)["attempts"] == 2
    assert target.read_bytes() == BODY


def test_nothing_left_to_send_means_another_beginning(web, target):
    mark = {"ETag": '"of all versions"'}
    url = web.add("/x", BODY, breaks=[200_000], headers=mark)

    def shrink(wait):
        web.files["/x"] = Held(BODY[:50_000], ranges=True, headers=mark)

    assert fetch(url, target, sleep=shrink)["attempts"] == 3
    assert target.read_bytes() == BODY[:50_000]


def test_a_file_of_unknown_length_is_taken_to_its_end(web, get, target):
    assert get(web.add("/x", BODY, counted=False))["sha256"] == SHA256
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("counted", [True, False])
def test_an_empty_body_is_an_error(web, refused, get, counted):
    url = web.add("/x", b"", counted=counted)
    refused(url, f"^{url}: is empty, as of attempt 2 — run again later", retries=1)
    assert get.waits == [1]


def test_a_redirect_is_followed(web, get, target):
    there = web.add("/there", BODY)
    get(web.add("/here", failing=[302], headers={"Location": there}))
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("to", ["ftp://127.0.0.1/x", "file:///etc/passwd", "/here?again"])
def test_a_redirect_away_from_the_web_or_without_end_is_not(web, refused, get, to):
    url = web.add("/here", failing=[302] * 99, headers={"Location": to})
    refused(url, f"^{url}: leads to no address on the web")
    assert get.waits == []


def test_no_network_is_one_line_after_the_last_attempt(refused, get):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/x"
        refused(url, rf"^{url}: broke off after 0 bytes \(Connection refused\), as of attempt 6")
    assert get.waits == [1, 2, 4, 8, 16]


def test_a_server_that_falls_silent_is_not_waited_for_without_end(web, get, target):
    url = web.add("/x", BODY, breaks=[200_000], how="stall")
    assert get(url, timeout=(5, 0.2))["attempts"] == 2
    assert target.read_bytes() == BODY


def test_a_server_that_stays_silent_is_given_up(web, refused):
    url = web.add("/x", BODY, breaks=[0, 0], how="stall")
    said = "no answer within 5 s to connect and 0.2 s to read, as of attempt 2"
    refused(url, said, timeout=(5, 0.2), retries=1)


def ticking(seconds, web, requests=99):
    """A clock that goes on by so many seconds at each look, during the first requests only."""
    now = [0.0]

    def clock():
        now[0] += seconds if len(web.asked) <= requests else 0
        return now[0]

    return clock


def test_a_server_that_drips_is_given_up_though_it_never_falls_silent(web, refused):
    url = web.add("/x", BODY, breaks=[100] * 2, how="stall")  # less than any block
    said = rf"^{url}: is too slow: \d+ bytes in 61 s, as of attempt 2 — run again later"
    refused(url, said, retries=1, timeout=(5, 5), clock=ticking(61, web))


def test_a_body_that_dripped_is_continued(web, get, target):
    mark = {"ETag": '"v1"'}
    url = web.add("/x", BODY, breaks=[100], how="stall", ranges=True, headers=mark)
    assert get(url, clock=ticking(61, web, requests=1))["attempts"] == 2
    assert web.headers("Range") == [None, "bytes=100-"]
    assert target.read_bytes() == BODY


@pytest.mark.parametrize(("size", "seconds"), [(100, 600), (300_000, 0.1)])
def test_what_is_small_and_whole_or_fast_enough_is_not_called_slow(web, get, size, seconds):
    url = web.add("/x", BODY[:size])
    assert get(url, clock=ticking(seconds, web))["attempts"] == 1


def test_a_fetch_that_was_killed_leaves_no_file_and_does_no_harm_to_the_next(web, get, target):
    url = web.add("/x", BODY, breaks=[200_000], how="stall", ranges=True, headers={"ETag": '"v1"'})
    code = f"""if True:
        from expression_leakage.benchmark.webtext.fetch import fetch
        fetch({url!r}, {str(target)!r})
    """
    part = target.with_name(f"{target.name}.part")
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        while not (part.exists() and part.stat().st_size):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not target.exists()
    assert 0 < part.stat().st_size < len(BODY)
    assert get(url)["sha256"] == SHA256
    assert target.read_bytes() == BODY
    assert not part.exists()


def test_the_expected_sum_is_compared(web, get, refused, target):
    url = web.add("/x", BODY)
    refused(url, f"^{url}: has SHA-256 {SHA256}, not {'0' * 64} — correct", sha256="0" * 64)
    get(url, sha256=SHA256.upper())
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_s3_object_is_read_from_the_endpoint_of_the_environment(
    web, get, target, monkeypatch, variable
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, web.url)
    web.add("/texts/2025/a%20%2B%20b.wet.gz", BODY)
    assert get("s3://texts/2025/a + b.wet.gz")["url"] == "s3://texts/2025/a + b.wet.gz"
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("outcome", ["success", "failure", "redirect", "silence", "no server"])
def test_a_secret_of_an_address_is_never_told(web, get, caplog, outcome):
    caplog.set_level(logging.DEBUG)
    url = web.add("/x", BODY, failing=[503]).replace("//", "//user:hidden@") + "?token=hidden"
    held = web.files["/x"]
    if outcome == "failure":
        held.failing = [404]
    elif outcome == "redirect":
        held.failing, held.headers = [302], {"Location": "ftp://user:hidden@host/?token=hidden"}
    elif outcome == "silence":
        held.breaks, held.how = [100] * 9, "reset"
    elif outcome == "no server":
        url = "http://user:hidden@127.0.0.1:1/x?token=hidden"
    try:
        said = str(get(url))
    except InputError as error:
        said = f"{error} {error.__cause__} {error.__suppress_context__}"
        assert said.endswith("None True")
    assert "/x" in said
    assert "hidden" not in said + caplog.text


def test_files_of_a_remote_listing_are_drawn_and_fetched(web, get, target, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    for letter in "abc":
        web.add(f"/crawl/{letter}.gz", letter.encode())
    web.add("/wet.paths.gz", gzip.compress(b"crawl/a.gz\ncrawl/b.gz\ncrawl/c.gz\n"))
    (tmp_path / "list.txt").write_text("crawl/b.gz\n")
    remote = {"listing": f"{web.url}/wet.paths.gz?hidden", "files": 2, "base": web.url}
    local = {"listing": str(tmp_path / "list.txt"), "files": 1, "base": web.url}
    drawn = draw_all(listings([remote, local]))
    assert "wet.paths.gz" in caplog.text
    assert "hidden" not in f"{drawn} {caplog.text}"
    by_hash = sorted("abc", key=lambda x: hashlib.sha256(f"crawl/{x}.gz".encode()).hexdigest())
    named = {source.name for source in resolve([remote, local], drawn)}
    assert named == {f"{web.url}/crawl/{letter}.gz" for letter in {*by_hash[:2], "b"}}
    get(f"{web.url}/crawl/b.gz")
    assert target.read_bytes() == b"b"


@pytest.mark.parametrize(
    ("body", "said"), [(b"a.gz\n", "holds 1 paths, not 2"), (b"\x1f\x8b?", "damaged gzip")]
)
def test_a_remote_listing_at_fault_is_named_by_its_address(web, body, said):
    url = web.add("/wet.paths.gz", body)
    with pytest.raises(InputError, match=f"^{url}: {said}"):
        draw_all(listings([{"listing": f"{url}?hidden", "files": 2}]))


def test_the_log_tells_waits_bytes_and_speed(web, get, caplog):
    caplog.set_level(logging.INFO)
    url = web.add("/x", BODY, failing=[503])
    get(url)
    wait, end = caplog.messages
    assert wait == f"{url}: HTTP 503; attempt 2 in 1 s"
    assert end.startswith(f"{url}: 300000 bytes, ")
    assert end.endswith(" MB/s, attempt 2")
