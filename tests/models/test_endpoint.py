import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from loopback_api import Api, chat, failure, plain, serving

from expression_leakage.errors import InputError
from expression_leakage.models.endpoint import TEMPLATE_TOKENS, BudgetReached, EndpointModel
from expression_leakage.models.entry import Entry, Server, messages
from expression_leakage.sampling import SamplingLaw

TOKEN = "sk-very-secret-0123456789"  # noqa: S105  # of no server
SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
SOON = {"Retry-After": "0.02"}


@pytest.fixture
def model_of():
    """Makes the model behind a loopback server; options go to the entry or its `endpoint`."""
    with ExitStack() as servers:

        def make(api, spent=0.0, **options):
            address = servers.enter_context(serving(api))
            return EndpointModel(entry(address, **options), spent)

        yield make


def entry(address, form="chat", system_role="required", **server):
    server = Server(base_url=address, **{"retries": 0, "timeout": 5.0, "concurrency": 4} | server)
    return Entry("m", "f", 1e6, "m", form, "endpoint", system_role=system_role, endpoint=server)


def law(**options):
    return SamplingLaw(
        **{"temperature": 0.7, "max_new_tokens": 6, "samples": 1, "seed": 1} | options
    )


def draw(model, draws=1, texts=("My hobby is",), **options):
    """Continuations in the order of the draws; `draws` may be their number."""
    draws = [(0, k) for k in range(draws)] if isinstance(draws, int) else draws
    prompts = [model.render(None, text) for text in texts]
    drawn = list(model.draw(prompts, draws, law(**options)))
    assert sorted(i for i, _ in drawn) == list(range(len(draws)))
    return [continuation for _, continuation in sorted(drawn, key=lambda pair: pair[0])]


def drawn_before_it_stops(model, draws, kind=InputError, **options):
    """What `draw` yields before it raises, and the one line that it raises."""
    prompts, drawn = [model.render(None, "My hobby is")], []
    with pytest.raises(kind) as stopped:
        drawn.extend(model.draw(prompts, [(0, k) for k in range(draws)], law(**options)))
    said = str(stopped.value)
    assert "\n" not in said
    assert said.startswith("model 'm'")
    assert stopped.value.__cause__ is None
    assert stopped.value.__context__ is None
    return drawn, said


def nth(answers, otherwise=None):
    """Answers by the number of the request."""
    return lambda body, number: answers.get(number, otherwise or chat())


# what is asked


def test_a_chat_request_carries_the_messages_and_the_whole_law(model_of):
    api = Api()
    model = model_of(api, extra_body={"top_k": -1})
    prompt = model.render("Be kind.", "My hobby is")
    assert prompt.ids is None
    list(model.draw([prompt], [(0, 2**61 + 5)], law()))
    assert api.paths == ["/v1/chat/completions"]
    assert api.bodies == [
        {
            "model": "m",
            "messages": json.loads(prompt.text),
            "seed": 5,
            "temperature": 0.7,
            "top_p": 1,
            "max_tokens": 6,
            "top_k": -1,
        }
    ]
    assert json.loads(prompt.text) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "My hobby is"},
    ]


def test_a_plain_model_is_asked_for_a_completion_of_the_bare_text(model_of):
    api = Api(nth({}, plain(" blue.")))
    (drawn,) = draw(model_of(api, form="plain"))
    assert api.paths == ["/v1/completions"]
    assert api.bodies[0]["prompt"] == "My hobby is"
    assert "messages" not in api.bodies[0]
    assert (drawn.text, drawn.n_tokens, drawn.finish_reason) == (" blue.", 3, "stop")
    assert drawn.token_ids is None


def test_a_plain_model_takes_no_system_message(model_of):
    with pytest.raises(InputError, match="is plain and has no system message"):
        model_of(Api(), form="plain").render("Be kind.", "My hobby is")


@pytest.mark.parametrize("role", ["required", "fold_into_user"])
@pytest.mark.parametrize("system", [None, "Be kind."])
def test_messages_are_those_of_a_local_model(model_of, role, system):
    model = model_of(Api(), system_role=role)
    text = model.render(system, "My hobby is").text
    assert json.loads(text) == messages(model.entry, system, "My hobby is")
    assert ("Be kind.\\n\\nMy hobby is" in text) == (role == "fold_into_user" and bool(system))


def test_a_sample_depends_on_its_prompt_and_key_alone(model_of):
    def answer(body, number):
        time.sleep(0.002 * (body["seed"] % 7))  # so that they overtake one another
        return chat(f"{body['messages'][-1]['content']} {body['seed']}")

    texts, draws = ["My hobby is", "My bus is"], [(i, key) for i in (0, 1) for key in range(20)]
    model = model_of(Api(answer), concurrency=8)
    forwards = draw(model, draws, texts)
    assert [c.text for c in forwards] == [f"{texts[i]} {key}" for i, key in draws]
    assert draw(model, draws[::-1], texts) == forwards[::-1]


def test_requests_under_way_are_as_many_as_allowed_and_no_more(model_of):
    together = threading.Barrier(3, timeout=5)

    def answer(body, number):
        if number:
            together.wait()  # passes only where three are under way at a time
        return chat()

    api = Api(answer)
    draw(model_of(api, concurrency=3), 13)
    assert api.at_once == 3


def test_samples_come_as_they_are_done_and_none_is_asked_for_ahead(model_of):
    api = Api()
    model = model_of(api, concurrency=2)
    drawing = model.draw([model.render(None, "x")], [(0, k) for k in range(100_000)], law())
    for _ in range(5):
        next(drawing)
    drawing.close()
    assert len(api.bodies) <= 5 + 2


def test_the_limit_goes_by_the_name_that_extra_body_gives_it(model_of):
    api = Api()
    draw(model_of(api, extra_body={"max_completion_tokens": 1}))
    assert api.bodies[0]["max_completion_tokens"] == 6
    assert "max_tokens" not in api.bodies[0]


def test_a_least_length_needs_a_server_that_knows_one(model_of):
    api = Api()
    for call in (lambda m: draw(m, min_new_tokens=3), lambda m: m.check(law(min_new_tokens=3))):
        with pytest.raises(InputError, match=r"min_new_tokens.*extra_body"):
            call(model_of(api))
    model = model_of(api, extra_body={"min_tokens": 1})
    draw(model, min_new_tokens=3)
    model.complete([{"system": None, "user": "x"}])
    assert [body.get("min_tokens") for body in api.bodies] == [3, None]


@pytest.mark.parametrize("key", ["temperature", "seed", "n", "stop", "max_tokens", "messages"])
def test_extra_body_cannot_go_behind_the_law(key):
    with pytest.raises(InputError, match=rf"endpoint.extra_body: sets {key}"):
        EndpointModel(entry("http://127.0.0.1:1/v1", extra_body={key: 1}))


# what is made of the answer


def test_a_text_is_cut_after_its_sentences_and_keeps_the_servers_count(model_of):
    model = model_of(Api(nth({}, chat('It cost 3.50. "Why?" Nobody', "length", (4, 9)))))
    (cut,) = draw(model, stop_sentences=1)
    assert (cut.text, cut.finish_reason, cut.n_tokens) == ("It cost 3.50.", "sentence", 9)
    (whole,) = draw(model, stop_sentences=3)
    assert (whole.text, whole.finish_reason) == ('It cost 3.50. "Why?" Nobody', "length")


def test_an_empty_text_that_the_model_ended_is_a_sample(model_of):
    (drawn,) = draw(model_of(Api(nth({}, chat("", "stop", (4, 1))))))
    assert (drawn.text, drawn.finish_reason, drawn.error) == ("", "stop", None)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (chat("I cannot", "content_filter"), "finish_reason content_filter"),
        (chat(None, "tool_calls"), "finish_reason tool_calls"),
        (chat("I cannot", refusal="I cannot"), "refusal"),
        (chat(None), "no text, finish_reason stop"),
        (chat("", "length"), "no text, finish_reason length"),
        (chat("A text.", None), "finish_reason None"),
        (chat(usage=None), "unreadable reply"),
        ({"choices": []}, "unreadable reply"),
        ({"error": {"message": "My hobby is"}}, "unreadable reply"),
        (b'{"choices": [{"mess', "unreadable reply"),
        ((200, b"<html>busy</html>", {"Content-Type": "text/html"}), "unreadable reply"),
        ((200, [1, 2]), "unreadable reply"),
    ],
)
def test_an_answer_without_a_continuation_is_a_failed_sample(model_of, reply, reason):
    good, bad = draw(model_of(Api(nth({1: reply}))), 2)
    assert good.text == "A text."
    assert (bad.text, bad.n_tokens, bad.finish_reason) == (None, 0, "error")
    assert bad.error == reason


def test_logprobs_are_read_where_extra_body_asked_for_them(model_of):
    tokens = [{"token": t, "logprob": v, "top_logprobs": []} for t, v in [("a", -1.0), ("b", -3)]]
    reply = chat()
    reply["choices"][0]["logprobs"] = {"content": tokens}
    assert draw(model_of(Api(nth({}, reply))))[0].mean_logprob == -2
    reply = plain(logprobs={"token_logprobs": [-1.0, -2.0, None], "tokens": ["a", "b", "c"]})
    assert draw(model_of(Api(nth({}, reply)), form="plain"))[0].mean_logprob == -1.5
    assert draw(model_of(Api()))[0].mean_logprob is None


# what fails


def test_passing_failures_are_tried_again_after_as_long_as_the_server_says(model_of):
    api = Api(nth({0: (429, failure(), {"Retry-After": "0.3"}), 1: (503, failure(), SOON)}))
    (drawn,) = draw(model_of(api, retries=2))
    assert drawn.text == "A text."
    assert api.times[1] - api.times[0] >= 0.3
    assert api.bodies[0] == api.bodies[1] == api.bodies[2]


def test_a_server_that_says_to_come_back_in_minutes_is_not_waited_for(model_of):
    api = Api(nth({0: (429, failure(code="busy"), {"Retry-After": "121"})}))
    failed, good = draw(model_of(api, retries=5), 2)
    assert failed.error == "HTTP 429 busy"
    assert good.text == "A text."
    assert len(api.bodies) == 2


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_a_sample_that_keeps_failing_is_a_row_and_stops_no_other(model_of, status):
    told = failure(f"busy with 'My hobby is' for {TOKEN}", code="busy")
    bad = {0: (status, told, SOON), 1: (status, told, SOON)}
    failed, good = draw(model_of(Api(nth(bad)), retries=1), 2)
    assert (failed.text, failed.finish_reason) == (None, "error")
    assert failed.error == f"HTTP {status} busy"
    assert good.text == "A text."


def test_a_slow_answer_is_a_failed_sample_and_paid_for(model_of):
    def answer(body, number):
        time.sleep(1.0 * (number == 0))
        return chat(usage=(10, 3))

    model = model_of(Api(answer), timeout=0.5, output_price=1e6)
    failed, good = draw(model, 2)
    assert failed.error == "timeout"
    assert good.text == "A text."
    assert model.used()["cost"] == 6 + 3  # the most it could have written, and what was written


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, failure(f"Incorrect API key provided: {TOKEN}"), "refuses the token.*MY_TOKEN"),
        (403, failure(f"{TOKEN} may not\nuse m"), r"\*\*\* may not use m.*MY_TOKEN"),
        (402, failure(), "wants more credit"),
        (429, failure(code="insufficient_quota"), "wants more credit"),
        (404, failure("no model m"), "does not know 'm'.*no model m.*base_url"),
        (404, b"<html>nowhere</html>", "does not know 'm'"),
        (400, failure("bad seed"), "refuses the request.*bad seed.*extra_body"),
        (422, {"detail": "Unexpected fields: {'top_k'}"}, "top_k"),
    ],
)
def test_what_no_further_request_can_cure_stops_at_the_first(
    model_of, monkeypatch, status, body, said
):
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    api = Api(lambda *_: (status, body, SOON))
    drawn, line = drawn_before_it_stops(model_of(api, token_env="MY_TOKEN"), 20)
    assert re.search(said, line)
    assert TOKEN not in line
    assert drawn == []
    assert len(api.bodies) == 1


def test_a_token_that_is_revoked_on_the_way_stops_the_rest(model_of):
    api = Api(lambda body, number: chat() if number < 5 else (401, failure()))
    drawn, line = drawn_before_it_stops(model_of(api, concurrency=1), 20)
    assert len(drawn) == 5
    assert "refuses the token" in line


def test_a_prompt_that_alone_is_refused_fails_alone(model_of):
    refused = {0: (400, failure(code="content_filter")), 2: (400, failure("too long"))}
    first, second, third = draw(model_of(Api(nth(refused)), concurrency=1), 3)
    assert first.error == "HTTP 400 content_filter"
    assert second.text == "A text."
    assert third.error == "HTTP 400"


def test_a_server_that_is_not_there_is_an_error_at_once():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    for call in (
        lambda m: list(m.draw([m.render(None, "x")], [(0, 1)], law())),
        lambda m: m.check(),
    ):
        with pytest.raises(InputError, match=r"cannot be reached.*base_url"):
            call(EndpointModel(entry(address)))


@pytest.mark.parametrize("concurrency", [1, 12])
def test_a_server_that_only_fails_is_asked_no_more(model_of, concurrency):
    api = Api(lambda body, number: (500, failure()))
    drawn, line = drawn_before_it_stops(model_of(api, concurrency=concurrency), 1000)
    limit = max(8, concurrency)
    assert f"{limit} requests in a row failed, the last one: HTTP 500" in line
    assert len(drawn) == limit - 1
    assert all(continuation.error == "HTTP 500" for _, continuation in drawn)
    assert len(api.bodies) < limit + concurrency


def test_failures_with_successes_between_them_stop_nothing(model_of):
    model = model_of(Api(lambda body, n: chat() if n % 8 == 0 else (500, failure())), concurrency=1)
    assert sum(c.error is None for c in draw(model, 32)) == 4


# what it costs


def test_tokens_and_cost_are_counted_since_they_were_last_asked_for(model_of):
    prices = {"input_price": 2.0, "output_price": 10.0}
    model = model_of(Api(nth({1: (500, failure())}, chat(usage=(100, 6)))), **prices)
    draw(model, 4)
    used = json.loads(json.dumps(model.used()))
    address = used.pop("device")
    assert used.pop("cost") == pytest.approx(3 * (100 * 2 + 6 * 10) / 1e6)
    assert used == {"requests": 4, "prompt_tokens": 300, "completion_tokens": 18}
    assert set(model.used().values()) == {address, 0}


@pytest.mark.parametrize("concurrency", [1, 7])
@pytest.mark.parametrize("spent", [0.0, 30.0])
def test_no_request_is_sent_that_might_exceed_the_budget(model_of, concurrency, spent):
    api = Api(nth({}, chat(usage=(10, 4))))  # pays 4 of at most 6
    prices = {"output_price": 1e6, "budget": 50.0}
    model = model_of(api, spent, concurrency=concurrency, **prices)
    drawn, line = drawn_before_it_stops(model, 1000, BudgetReached)
    fit = int((50 - spent - 6) // 4 + 1)  # the last one still has room for its 6
    assert len(drawn) == len(api.bodies) == fit
    assert all(continuation.text for _, continuation in drawn)
    assert f"spent {spent + 4 * fit:.6g} of its budget of 50" in line
    assert "raise endpoint.budget" in line
    assert model.used()["cost"] == 4 * fit


@pytest.mark.parametrize(("room", "fits"), [(1, True), (-1, False)])
def test_the_budget_reckons_with_every_byte_of_the_prompt(model_of, room, fits):
    text = "é" * 300
    budget = len(f'[{{"role": "user", "content": "{text}"}}]'.encode()) + TEMPLATE_TOKENS + room
    model = model_of(Api(), input_price=1e6, budget=float(budget))
    if fits:
        assert draw(model, texts=[text])[0].text
        return
    with pytest.raises(BudgetReached):
        draw(model, texts=[text])


def test_a_budget_needs_prices():
    with pytest.raises(InputError, match="budget: would never bind without prices"):
        EndpointModel(entry("http://127.0.0.1:1/v1", budget=1.0))


def test_drawing_that_is_broken_off_waits_for_nothing_and_counts_what_was_under_way(model_of):
    hold = threading.Event()
    api = Api(lambda body, number: chat() if number == 0 or hold.wait(20) else None)
    model = model_of(api, concurrency=5, output_price=1e6)
    drawing = model.draw([model.render(None, "x")], [(0, k) for k in range(50)], law())
    next(drawing)
    drawing.close()
    assert model.used()["cost"] == 3
    drawing = model.draw([model.render(None, "x")], [(0, k) for k in range(50)], law())
    api.answer = lambda body, number: chat() if number == 1 or hold.wait(20) else None
    next(drawing)
    drawing.close()
    hold.set()
    assert model.used()["cost"] == 3 + 4 * 6


HANGS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
from expression_leakage.models.endpoint import EndpointModel
from expression_leakage.models.entry import Entry, Server
from expression_leakage.sampling import SamplingLaw

server = Server(base_url=sys.argv[1], concurrency=3, timeout=60.0)
model = EndpointModel(Entry("m", "f", 1, "m", "chat", "endpoint", endpoint=server))
prompt = model.render(None, "My hobby is")
try:
    for _ in model.draw([prompt], [(0, k) for k in range(9)], SamplingLaw(1, 6, 1, 1)):
        print("one", flush=True)
except KeyboardInterrupt:
    print(model.used()["requests"])
"""


def test_an_interrupt_ends_a_program_whose_server_hangs():
    hold = threading.Event()
    api = Api(lambda body, number: chat() if number == 0 or hold.wait(30) else None)
    with serving(api) as address:
        command = [sys.executable, "-c", HANGS, address]
        run = subprocess.Popen(command, cwd=SCRIPTS, stdout=subprocess.PIPE, text=True)
        assert run.stdout.readline() == "one\n"
        while len(api.bodies) < 4:
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=10)
        hold.set()
    assert (out, run.returncode) == ("1\n", 0)


# the token


def test_a_token_goes_into_its_header_and_nowhere_else(model_of, monkeypatch, caplog):
    monkeypatch.setenv("MY_TOKEN", f" {TOKEN}\n")
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "httpcore2"):
        caplog.set_level(logging.DEBUG, logger=name)
    told = failure(f"no, {TOKEN}", code=f"code {TOKEN}")
    api = Api(nth({1: (500, told, SOON), 2: (400, told), 3: chat(TOKEN, f"cut {TOKEN}")}))
    model = model_of(api, token_env="MY_TOKEN", concurrency=1)
    logging.getLogger("httpx2").setLevel(logging.DEBUG)
    drawn = draw(model, 4)
    model.check()
    assert {header["authorization"] for header in api.headers} == {f"Bearer {TOKEN}"}
    assert [c.error for c in drawn[1:]] == [
        "HTTP 500 code ***",
        "HTTP 400 code ***",
        "finish_reason cut ***",
    ]
    said = [drawn, model.facts(), model.used(), model, vars(model), model.entry, api.bodies]
    assert TOKEN not in repr(said)
    assert caplog.records
    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(repr(vars(record)) for record in caplog.records)


@pytest.mark.parametrize("token", [None, "", " \n", "geheim\u2019"])
def test_a_token_that_cannot_be_one_is_an_error_before_any_request(monkeypatch, token):
    monkeypatch.delenv("MY_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("MY_TOKEN", token)
    with pytest.raises(InputError, match="environment variable MY_TOKEN") as error:
        EndpointModel(entry("http://127.0.0.1:1/v1", token_env="MY_TOKEN"))
    assert "geheim" not in str(error.value)


def test_nothing_that_was_meant_for_openai_reaches_another_server(model_of, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"x-key: {TOKEN}\nAuthorization: {TOKEN}")
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", TOKEN)
    api = Api()
    model = model_of(api)
    assert draw(model)[0].text == "A text."
    model.check()
    assert TOKEN not in repr(api.headers)
    assert [headers["authorization"] for headers in api.headers] == ["Bearer none"] * 2


@pytest.mark.parametrize("address", ["http://me:pw@127.0.0.1/v1", "http://127.0.0.1/v1?key=pw"])
def test_an_address_holds_no_credentials(address):
    with pytest.raises(InputError, match=r"base_url: has credentials.*token_env") as error:
        EndpointModel(entry(address))
    assert "pw" not in str(error.value)


@pytest.mark.parametrize("address", ["http:///v1", "http://[::1/v1", "http://host:port/v1"])
def test_an_address_that_is_none_is_one_line(address):
    with pytest.raises(InputError, match="base_url: is no address"):
        EndpointModel(entry(address))


def test_facts_say_what_can_be_known_from_outside(model_of):
    model = model_of(Api(), extra_body={"top_k": -1})
    facts = json.loads(json.dumps(model.facts()))
    assert facts["backend"] == "endpoint"
    assert model.used()["device"].startswith("http://127.0.0.1:")
    assert facts["extra_body"] == {"top_k": -1}
    assert model.n_parameters == 1_000_000


# judges, and the check before a run


def test_a_judge_is_asked_greedily_and_answers_in_order(model_of):
    def answer(body, number):
        text = body["messages"][-1]["content"]
        time.sleep(0.005 * (5 - int(text)))
        return chat("", finish_reason="content_filter") if text == "3" else chat(f"reply {text}")

    api = Api(answer)
    asked = [{"system": "Judge.", "user": str(i)} for i in range(5)]
    replies = model_of(api).complete(asked, max_new_tokens=9)
    assert replies == ["reply 0", "reply 1", "reply 2", "", "reply 4"]
    assert {(body["temperature"], body["max_tokens"]) for body in api.bodies} == {(0, 9)}


def test_a_judge_whose_server_fails_gives_no_judgement(model_of):
    model = model_of(Api(nth({2: (500, failure())}, chat("negative"))), retries=0)
    with pytest.raises(InputError, match="1 of 4 replies failed, first: HTTP 500"):
        model.complete([{"system": None, "user": str(i)} for i in range(4)])


@pytest.mark.parametrize("models", [["a", "m"], [], None])
def test_a_model_that_is_listed_or_cannot_be_looked_up_passes_the_check(model_of, models):
    model_of(Api(models=models)).check()


def test_a_model_that_is_not_among_those_listed_fails_the_check(model_of):
    with pytest.raises(InputError, match=r"does not list 'm'.*name one of a, b as source"):
        model_of(Api(models=["b", "a"])).check()


def test_a_refused_token_fails_the_check(model_of):
    api = Api()
    api.get = lambda handler: (401, failure(TOKEN))
    with pytest.raises(InputError, match=r"refuses the token.*now none") as error:
        model_of(api).check()
    assert TOKEN not in str(error.value)


def test_an_endpoint_needs_no_torch():
    code = "import sys, expression_leakage.models.endpoint; print('torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
