"""A process without a free descriptor. It can open nothing, and so import nothing, for the first time.

Everything here happens in a process of its own, which has taken all of its descriptors before it handles the first
request of each kind.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = r"""
import json, logging, os, resource, socket, sys
from http.client import HTTPResponse

from evloop_http import AccessLog, App, HTTPError, Response, Server

logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s")
app = App(debug=sys.argv[1] == "debug")

def fail(request):
    raise ValueError("on purpose")

def refuse(request):
    raise HTTPError(409)

def produce(request):
    yield b"a"
    fail(request)

app.get("/refused")(refuse)
app.get("/raised")(fail)
app.get("/raised-threaded", threaded=True)(fail)
app.get("/wrong")(lambda request: object())
app.get("/pieces")(lambda request: Response(produce(request)))
app.get("/query")(lambda request: dict(request.query) | dict(request.cookies))
app.post("/form")(lambda request: dict(request.form))
app.post("/text")(lambda request: request.text)
app.post("/json")(lambda request: request.json())

ASKS = {
    "a refusal": b"GET /refused HTTP/1.1\r\nHost: a\r\n\r\n",
    "a failure": b"GET /raised HTTP/1.1\r\nHost: a\r\n\r\n",
    "a failure in a thread": b"GET /raised-threaded HTTP/1.1\r\nHost: a\r\n\r\n",
    "a wrong answer": b"GET /wrong HTTP/1.1\r\nHost: a\r\n\r\n",
    "a body that fails": b"GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n",
    "no route": b"GET /a%20b HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n",
    "a query": b"GET /query?a=b+c&d=%C3%BC HTTP/1.1\r\nHost: a\r\nCookie: e=1\r\n\r\n",
    "a form": b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n"
              b"Content-Type: application/x-www-form-urlencoded\r\n\r\na=%20+b",
    "an unknown charset": b"POST /text HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                          b"Content-Type: text/plain; charset=unheard-of\r\n\r\na",
    "malformed JSON": b"POST /json HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                      b"Content-Type: application/json\r\n\r\n{",
    "an IPv6 host": b"GET http://[::1]/ HTTP/1.1\r\nHost: [::1]\r\n\r\n",
    "a malformed host": b"GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n",
    "garbage": b"garbage\r\n\r\n",
    "a HEAD without a host": b"HEAD / HTTP/1.1\r\n\r\n",
    "a malformed chunk": b"POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
    "a tunnel": b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    "a body for no route": b"PUT /none HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
}

def take_all_descriptors():
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass

def status_of(client):
    client.setblocking(False)
    for _ in range(1000):
        server.reactor.poll(0.01)
        try:
            line = client.recv(4096).partition(b"\r\n")[0]
        except BlockingIOError:
            continue
        return line.split()[1].decode() if line else "closed"
    return "nothing"

server = Server(app, access_log=AccessLog())
server.listen()
clients = {name: socket.create_connection(server.addresses[0]) for name in ASKS}
while server.connections < len(clients):
    server.reactor.poll()
loaded, taken, statuses = set(sys.modules), [], {}
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 10, 1000))
for name, client in clients.items():
    take_all_descriptors()
    client.sendall(ASKS[name])
    statuses[name] = status_of(client)
print(json.dumps([statuses, sorted(set(sys.modules) - loaded)]))
sys.stdout.flush()
os._exit(0)
"""

STATUSES = {
    "a refusal": "409", "a failure": "500", "a failure in a thread": "500", "a wrong answer": "500",
    "a body that fails": "200", "no route": "404", "a query": "200", "a form": "200", "an unknown charset": "415",
    "malformed JSON": "400", "an IPv6 host": "404", "a malformed host": "400", "garbage": "400",
    "a HEAD without a host": "400", "a malformed chunk": "400", "a tunnel": "501", "a body for no route": "404",
}


@pytest.mark.parametrize("mode", ["debug", "quiet"])
def test_whatever_fails_first_is_answered_and_imports_nothing_when_no_descriptor_is_left(mode: str) -> None:
    result = subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT, mode], cwd=ROOT, capture_output=True,
                            text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    statuses, loaded = json.loads(result.stdout)
    assert statuses == STATUSES, result.stderr
    assert loaded == []
    assert "Logging error" not in result.stderr
    # Each failure of a handler once, that of a body once, and none of a callback of the loop.
    assert re.findall(r"^ERROR (\S+)$", result.stderr, re.MULTILINE) == [
        "evloop_http.app", "evloop_http.app", "evloop_http.app", "evloop_http.server"]
