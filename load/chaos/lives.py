"""What a client does, from its first byte to its reset.

Each function of the table `LIVES` is a way to live. It draws all of its choices from the client's own generator,
so a number and a seed are enough to live it again. All of them end soon: what they wait for is bounded by the
server's deadlines, and what they send by a few megabytes.
"""

from __future__ import annotations

import contextlib
import itertools
import ssl
import time

from . import asking
from .application import content
from .asking import ASKS, UPLOADS, choose, last
from .client import TLS_SHARE, Client, Life, Talk
from .judging import Answer, read_answer
from .serving import SHORTEST
from .wires import Manner

# -- patient clients


def ask_in_turn(client: Client) -> None:
    """Ask, receive, ask again."""
    talk = client.connect(Manner(cut=client.pieces(client.random.choice((50, 5000, 100_000)))))
    for ask in client.asks(1, 8):
        talk.wire.send(ask.data)
        if not client.take(talk, ask):
            return
    client.leave(talk)


def ask_at_once(client: Client) -> None:
    """Ask many times without waiting for an answer."""
    talk = client.connect(Manner(cut=client.pieces(client.random.choice((100, 3000)))))
    asks = client.small_asks(2, 30)
    talk.wire.send(b"".join([ask.data for ask in asks]))
    client.take_all(talk, asks)


def ask_and_half_close(client: Client) -> None:
    """Ask, and say that nothing more follows; the answers arrive all the same, and then the end."""
    talk = client.connect()
    asks = client.asks(1, 3)
    talk.wire.send(b"".join([ask.data for ask in asks]))
    talk.wire.half_close()
    if client.take_all(talk, asks):
        client.take_end(talk)


def ask_for_the_last_time(client: Client) -> None:
    """Ask with `Connection: close`, and perhaps for an answer that breaks or never comes."""
    talk = client.connect()
    ask = client.random.choice((asking.ask_breaking, asking.ask_sized, asking.ask_sized))(client.random, client.nonce())
    if client.chance(0.05):
        ask = asking.ask_never(client.random, client.nonce())
    talk.wire.send(last(ask).data)
    if not client.take(talk, ask, may_close=True):
        client.take_end(talk)


def write_slowly(client: Client) -> None:
    """Send a request byte by byte, or almost."""
    talk = client.connect(Manner(cut=client.pieces(30), pause=client.random.uniform(0.001, 0.01), pauses=50))
    ask = choose(client.random, ASKS, client.nonce())
    if len(ask.data) < 50_000:
        talk.wire.send(ask.data)
        client.take(talk, ask)


def read_slowly(client: Client) -> None:
    """Receive a long answer in small pieces, through a small window."""
    manner = Manner(pause=client.random.uniform(0.001, 0.02), pauses=40, window=4096,
                    portion=client.random.choice((500, 4000, 30_000)))
    talk = client.connect(manner)
    ask = asking.ask_sized(client.random, client.nonce())
    talk.wire.send(ask.data)
    client.take(talk, ask)


def upload(client: Client) -> None:
    """Send bodies, at once or when they are asked for."""
    talk = client.connect(Manner(cut=client.pieces(client.random.choice((1000, 65536, 1_000_000)))))
    for _ in range(client.random.randint(1, 3)):
        ask = choose(client.random, UPLOADS, client.nonce())
        if client.chance(0.3):
            ask = asking.expecting(ask)
            talk.wire.send(ask.data[:ask.head_size])
            if client.chance(0.7) and ask.body:
                talk.inbox.peek(1)  # `100 Continue`, or an answer
            talk.wire.send(ask.body)
        else:
            talk.wire.send(ask.data)
        if not client.take(talk, ask):
            return


def listen(client: Client) -> None:
    """Listen to events, then leave without a word, or with one."""
    talk = client.connect()
    nonce = client.nonce()
    talk.wire.send(asking.make(nonce, "GET", "/events").data)
    lines = list(itertools.islice(iter(talk.inbox.readline, b""), client.random.randint(10, 60)))
    events = {line for line in lines if line.startswith(b"data: ")}
    if events - {f"data: {nonce}\n".encode()}:
        client.faults.append(f"an event is somebody else's: {events!r:.200}")
    if not events and not client.is_late():
        client.faults.append(f"no event was sent: {b''.join(lines)!r:.200}")
    client.answers += bool(events)
    client.leave(talk)


def switch(client: Client) -> None:
    """Switch to another protocol, which sends everything back."""
    talk = client.connect(Manner(cut=client.pieces(5000)))
    nonce = client.nonce()
    talk.wire.send(asking.make(nonce, "GET", "/switch", "Connection: upgrade", "Upgrade: echo").data)
    answer = read_answer(talk.inbox, "GET")
    if not isinstance(answer, Answer) or answer.status != 101:
        if not client.is_late():
            client.faults.append(f"did not switch: {answer!r:.200}")
        return
    said = content(nonce, asking.size(client.random))
    talk.wire.send(said)
    heard = talk.inbox.read(client.random.randint(0, len(said)))
    if not said.startswith(heard):
        client.faults.append("the echo is not what was said")
    client.answers += 1
    client.leave(talk)


def open_websocket(client: Client) -> None:
    """Say messages to a WebSocket that sends them back; perhaps ping, break a rule or leave within a message."""
    talk = client.connect(Manner(cut=client.pieces(5000)))
    nonce, random = client.nonce(), client.random
    talk.wire.send(asking.make(nonce, "GET", "/websocket", "Connection: upgrade", "Upgrade: websocket",
                               "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==").data)
    if client.chance(0.2):
        client.leave(talk)
        return
    answer = read_answer(talk.inbox, "GET")
    if not isinstance(answer, Answer) or answer.status != 101:
        if not client.is_late():
            client.faults.append(f"opened no WebSocket: {answer!r:.200}")
        return
    said = [content(nonce, random.randint(1, 125)) for _ in range(random.randint(1, 30))]
    talk.wire.send(b"".join([frame(0x82, message) for message in said]))
    if client.chance(0.3):
        end = random.choice((frame(0x89, b"") * 500, frame(0x02, b"begun"), frame(0xFF, b""), b"\x82\xfe\xff"))
        talk.wire.send(end)
        client.leave(talk)
        return
    echo = b"".join([bytes((0x82, len(message))) + message for message in said])
    heard = talk.inbox.read(len(echo))
    if heard != echo and not client.is_late():
        client.faults.append(f"the WebSocket has said {len(heard)} bytes that are not the {len(echo)} of its echo")
    client.answers += 1
    if client.chance(0.5):
        talk.wire.send(frame(0x88, b"\x03\xe8"))
    client.leave(talk)


def frame(first: int, payload: bytes) -> bytes:
    """Return a small frame of a client (RFC 6455 §5.2), masked with zeros."""
    return bytes((first, 0x80 | len(payload), 0, 0, 0, 0)) + payload


# -- impatient clients, whose answers arrive or not


def cut_off(client: Client) -> None:
    """Send requests that end anywhere, and leave."""
    talk = client.connect()
    # Of a HEAD that was cut within its first word, nobody knows that the refusal must not have a content.
    asks = [ask for ask in client.asks(1, 4) if ask.method != "HEAD"] or [client.small_ask()]
    talk.wire.send(client.cut_anywhere(b"".join([ask.data for ask in asks])))
    if client.chance(0.5):
        talk.wire.half_close()
        client.take_what_comes(talk, asks)
    else:
        client.leave(talk)


def leave_within_the_answer(client: Client) -> None:
    """Ask for something long, receive some of it and leave."""
    talk = client.connect()
    asks = client.asks(1, 3)
    for ask in asks:
        talk.wire.send(ask.data)
    talk.inbox.read1(client.random.randint(1, 8192))
    client.leave(talk)


def be_deaf(client: Client) -> None:
    """Ask and ask, and never receive; sometimes until the server has had enough."""
    talk = client.connect(Manner(deaf=True, window=4096))
    for number in range(client.random.randint(1, 20)):
        talk.wire.send(asking.make(client.nonce(), "GET", f"/bytes?n={300_000 * (number < 5)}").data)
    if client.chance(0.03):
        time.sleep(2 * SHORTEST)
    elif client.chance(0.5):
        time.sleep(client.random.uniform(0, 0.2))
    client.leave(talk)


def stop_an_upload(client: Client) -> None:
    """Begin to send a body, and stop; sometimes until the server has had enough."""
    talk = client.connect()
    ask = choose(client.random, UPLOADS, client.nonce())
    body = client.cut_anywhere(ask.body) if ask.body else b""
    talk.wire.send(ask.data[:ask.head_size] + body)
    if client.chance(0.08):
        client.take_what_comes(talk, [ask])
    else:
        client.leave(talk)


def come_in_a_crowd(client: Client) -> None:
    """Open many connections at once; some are served, some are left."""
    talks = [client.connect(tls=client.chance(0.1)) for _ in range(client.random.randint(5, 25))]
    asks = [client.small_ask() for _ in talks]
    for talk, ask in zip(talks, asks, strict=True):
        talk.wire.send(ask.data)
    for talk, ask in zip(talks, asks, strict=True):
        if client.chance(0.5):
            client.take(talk, ask)
        client.leave(talk)


def say_nothing(client: Client) -> None:
    """Connect, say nothing or almost nothing, and leave; sometimes when the server has had enough."""
    tls = client.chance(TLS_SHARE)
    wire = client.connect_raw(tls)
    first = (b"", b"\x16", b"\x16\x03\x01\x02") if tls else (b"", b"G", b"POST /echo HTTP/1.1\r\n")
    wire.send(client.random.choice(first))
    if client.chance(0.05):
        client.take_end(Talk(wire))
    client.leave(Talk(wire))


def break_the_handshake(client: Client) -> None:
    """Begin a handshake, and break it off anywhere."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.context.wrap_bio(incoming, outgoing)
    wire = client.connect_raw(tls=True)
    with contextlib.suppress(ssl.SSLError):
        tls.do_handshake()
    hello = outgoing.read()
    wire.send(client.cut_anywhere(hello) if client.chance(0.5) else hello)
    if client.chance(0.5):
        wire.send(client.random.randbytes(client.random.randint(1, 500)))
    client.leave(Talk(wire))


#: What breaks a rule of HTTP.
NONSENSE = (
    b"GET / HTTP/1.1\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
    b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
    b"\0" * 100, b"\x16\x03\x01\x00\x05hello\r\n\r\n",
)


def talk_nonsense(client: Client) -> None:
    """Ask something, then break the rules: what was asked is answered, then the rest is refused."""
    talk = client.connect(Manner(cut=client.pieces(client.random.choice((7, 2000)))))
    asks = client.small_asks(1, 2) if client.chance(0.5) else []
    talk.wire.send(b"".join([ask.data for ask in asks]) + client.random.choice(NONSENSE))
    client.take_what_comes(talk, asks)


def talk_plainly_to_tls(client: Client) -> None:
    """Speak HTTP, or nothing that is known, to the port of HTTPS."""
    wire = client.connect_raw(tls=True)
    wire.send(client.random.choice((client.small_ask().data, client.random.randbytes(200))))
    if client.chance(0.5):
        client.take_end(Talk(wire))
    client.leave(Talk(wire))


#: Every way to live, with weights.
LIVES: dict[Life, int] = {
    ask_in_turn: 12, ask_at_once: 6, ask_and_half_close: 4, ask_for_the_last_time: 4, write_slowly: 3,
    read_slowly: 3, upload: 6, listen: 3, switch: 3, open_websocket: 5, cut_off: 5,
    leave_within_the_answer: 4, be_deaf: 3,
    stop_an_upload: 4, come_in_a_crowd: 2, say_nothing: 3, break_the_handshake: 2, talk_nonsense: 4,
    talk_plainly_to_tls: 2,
}
