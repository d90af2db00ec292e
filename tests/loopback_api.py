"""A server on the loopback that speaks OpenAI's wire format and fails as a test wants it to.

No engine can be made to refuse, filter, stall or talk nonsense on demand; real engines are asked
in test_real_servers.py.
"""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def chat(text="A text.", reason="stop", usage=(10, 3), **message):
    """A chat completion; `usage` is prompt and completion tokens."""
    choice = {"index": 0, "finish_reason": reason}
    choice["message"] = {"role": "assistant", "content": text} | message
    return _reply(choice, usage, "chat.completion")


def plain(text="A text.", reason="stop", usage=(10, 3), **choice):
    """A text completion."""
    choice |= {"index": 0, "finish_reason": reason, "text": text}
    return _reply(choice, usage, "text_completion")


def _reply(choice, usage, kind):
    body = {"id": "1", "object": kind, "created": 0, "model": "m", "choices": [choice]}
    if usage is not None:
        total = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
        body["usage"] = total | {"total_tokens": sum(usage)}
    return body


def failure(message="no", code=None):
    return {"error": {"message": message, "type": "t", "param": None, "code": code}}


class Api:
    """What a server was asked, and how it answers.

    Parameters
    ----------
    answer
        Called with the body of a request and the number of requests before it. Returns a body, or
        a status, a body and headers; a body is JSON unless it is bytes.
    models
        Ids that it lists; None: it offers no list.
    """

    def __init__(self, answer=lambda body, number: chat(), models=("m",)):
        self.answer, self.models = answer, models
        self.bodies, self.headers, self.paths, self.times = [], [], [], []
        self.at_once = self._open = 0
        self.lock = threading.Lock()

    def get(self, handler):
        self.headers.append(_lower(handler.headers))
        if self.models is None:
            return 404, failure()
        return 200, {"object": "list", "data": [{"id": m, "object": "model"} for m in self.models]}

    def post(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self.lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.headers.append(_lower(handler.headers))
            self.paths.append(handler.path)
            self.times.append(time.monotonic())
            self._open += 1
            self.at_once = max(self.at_once, self._open)
        try:
            answer = self.answer(body, number)
        finally:
            with self.lock:
                self._open -= 1
        return answer if isinstance(answer, tuple) else (200, answer)


def _lower(headers):
    return {name.lower(): value for name, value in headers.items()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # one segment an answer, so that none waits for an acknowledgement

    def log_message(self, *args):
        pass

    def do_GET(self):
        self._send(*self.server.api.get(self))

    def do_POST(self):
        self._send(*self.server.api.post(self))

    def _send(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | dict(headers)
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:  # the client has given up on it
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def serving(api):
    """Run it on a free port; yields the address of its API."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.api = api
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
