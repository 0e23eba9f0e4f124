"""A server in the loop of a host: what a client, other threads and the host do meanwhile.

`Visit` is for every host. The rest are programs of their own, for hosts that a process has once, or that only another
Python has: `python hosting.py tk dialog` prints what happened, in JSON. It needs no pytest.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from evloop_http import App, Reactor, Server
from evloop_http.loops.guest import Guest
from evloop_http.net.reactor import READ

PATIENCE = 20
#: What a visit finds where all is well.
WELL = {"bodies": ["hello"] * 3, "timers": 2, "last": "waited for", "connection": "close", "stopped": True}


class Visit:
    """Three requests, two timers set while the host sleeps, and a request that is under way when the server stops.

    One timer is set from another thread, one by the host between two turns (`set_timer`).
    """

    def __init__(self, reactor: Reactor | None = None) -> None:
        self.app = App()
        self.app.get("/")(lambda request: "hello")
        self.app.get("/last")(self._answer_last)
        self.server = Server(self.app, reactor=reactor)
        self.server.listen()
        self.found: dict[str, Any] = {"bodies": [], "timers": 0}
        self._last: Future[str] = Future()
        self._begun = threading.Event()
        self._set_by_host = threading.Event()

    def _answer_last(self, request: object) -> Future[str]:
        self._begun.set()
        return self._last

    def set_timer(self) -> None:
        """To be called by the host, in its thread, between turns."""
        self.server.reactor.call_later(0.01, self._set_by_host.set)

    def start(self, stop: Callable[[], object]) -> None:
        """Begin, in a thread. `stop` is called there, and begins the end."""
        self._thread = threading.Thread(target=self._visit, args=(stop,))
        self._thread.start()

    def _visit(self, stop: Callable[[], object]) -> None:
        address = self.server.addresses[0]
        assert isinstance(address, tuple)
        client = http.client.HTTPConnection(*address, timeout=PATIENCE)
        try:
            for _ in range(3):
                client.request("GET", "/")
                self.found["bodies"].append(client.getresponse().read().decode().strip())
            self.found["timers"] += self._set_by_host.wait(PATIENCE)
            fired = threading.Event()
            self.server.reactor.call_soon_threadsafe(self.server.reactor.call_later, 0.01, fired.set)
            self.found["timers"] += fired.wait(PATIENCE)
            client.request("GET", "/last")
            assert self._begun.wait(PATIENCE)
        finally:
            stop()
        self.server.reactor.call_soon_threadsafe(self._answer_once_stopping)
        answer = client.getresponse()
        self.found |= {"last": answer.read().decode().strip(), "connection": answer.headers["Connection"]}
        client.close()

    def _answer_once_stopping(self) -> None:
        if self.server._shared.draining:
            self._last.set_result("waited for")
        else:
            self.server.reactor.call_soon(self._answer_once_stopping)

    def end(self) -> dict[str, Any]:
        """Wait for its end; return what was found."""
        self._thread.join(PATIENCE)
        return self.found | {"stopped": self.server.wait_stopped(0)}


# Hosts that call back

class Tk:
    def __init__(self) -> None:
        import tkinter

        self.root = tkinter.Tk()

    def names(self) -> dict[str, Any]:
        return {"root": self.root}

    def attach(self, reactor: Reactor) -> Guest:
        from evloop_http import loops

        return loops.tk.attach(self.root, reactor)

    def later(self, callback: Callable[[], object]) -> None:
        self.root.after(1, callback)

    def when_idle(self, callback: Callable[[], object]) -> None:
        self.root.after_idle(callback)

    def run(self) -> None:
        self.root.mainloop()

    def quit(self) -> None:
        self.root.quit()

    def nest(self, start: Callable[[Callable[[], object]], object]) -> None:
        """Run the host's loop within this call, until the argument of `start` is called."""
        import tkinter

        answered = tkinter.BooleanVar(self.root)
        start(lambda: answered.set(True))
        self.root.wait_variable(answered)  # as a dialog does


class GLib:
    def __init__(self) -> None:
        from gi.repository import GLib

        self.glib = GLib
        self.main = GLib.MainLoop()

    def names(self) -> dict[str, Any]:
        return {"main": self.main}

    def attach(self, reactor: Reactor) -> Guest:
        from evloop_http import loops

        return loops.glib.attach(reactor)

    def later(self, callback: Callable[[], object]) -> None:
        self.glib.timeout_add(1, lambda: bool(callback() and False))

    def when_idle(self, callback: Callable[[], object]) -> None:
        self.glib.idle_add(lambda: bool(callback() and False), priority=self.glib.PRIORITY_HIGH_IDLE + 20)

    def run(self) -> None:
        self.main.run()

    def quit(self) -> None:
        self.main.quit()

    def nest(self, start: Callable[[Callable[[], object]], object]) -> None:
        inner = self.glib.MainLoop()
        start(inner.quit)
        inner.run()


class Qt:
    def __init__(self) -> None:
        from PySide6.QtCore import QCoreApplication

        self.application = QCoreApplication([])

    def names(self) -> dict[str, Any]:
        return {"app": self.application}

    def attach(self, reactor: Reactor) -> Guest:
        from evloop_http import loops

        return loops.qt.attach(reactor)

    def later(self, callback: Callable[[], object]) -> None:
        from PySide6.QtCore import QTimer

        QTimer.singleShot(1, callback)

    def when_idle(self, callback: Callable[[], object]) -> None:
        from PySide6.QtCore import QTimer

        QTimer.singleShot(0, callback)

    def run(self) -> None:
        self.application.exec()

    def quit(self) -> None:
        self.application.quit()

    def nest(self, start: Callable[[Callable[[], object]], object]) -> None:
        from PySide6.QtCore import QEventLoop

        inner = QEventLoop()
        start(inner.quit)
        inner.exec()


Host = Tk | GLib | Qt


def serve(host: Host, attach: str, stop: str) -> dict[str, Any]:
    """A visit from the first request to the gentle end, by two lines of a program: the README's."""
    from evloop_http import loops

    visit = Visit()
    names: dict[str, Any] = {"loops": loops, "server": visit.server, **host.names()}
    exec(attach, names)
    host.later(visit.set_timer)
    visit.start(lambda: visit.server.reactor.call_soon_threadsafe(exec, stop, names))
    host.run()
    names["guest"].detach()
    visit.server.close()
    return visit.end()


def dialog(host: Host) -> dict[str, Any]:
    """A handler that runs the host's loop, while another client's request is there."""
    app = App()
    server = Server(app)
    server.listen()
    guest = host.attach(server.reactor)
    address = server.addresses[0]
    assert isinstance(address, tuple)
    clients: list[socket.socket] = []
    turns = rounds = 0

    def connect(path: str) -> None:
        clients.append(socket.create_connection(address, PATIENCE))
        clients[-1].sendall(b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())

    def go_round(answer: Callable[[], object]) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 50:
            answer()
        else:
            host.later(lambda: go_round(answer))

    @app.get("/dialog")
    def ask(request: object) -> str:
        nonlocal turns
        connect("/other")
        turns, begun = 0, server.reactor.turn
        host.nest(go_round)
        called, turns = turns, -1
        return f"{called} calls, {server.reactor.turn - begun} turns in {rounds} rounds"

    @app.get("/other")
    def other(request: object) -> str:
        guest.stop(server, PATIENCE, host.quit)
        return "answered"

    turn = guest._turn

    def count() -> None:
        nonlocal turns
        turns += 1
        turn()

    guest._turn = count  # type: ignore[method-assign]
    connect("/dialog")
    host.run()
    server.close()
    return {"answers": [last_line(client) for client in clients]}


def last_line(client: socket.socket) -> str:
    with client, client.makefile("rb") as answer:
        return answer.read().decode().splitlines()[-1]


def drawing(host: Host) -> dict[str, Any]:
    """What the host draws when it is idle, while the reactor always has work: by a descriptor, then by a deadline."""
    return {"drawn": [draws_beside(host, keep_busy) for keep_busy in (always_readable, always_due)]}


def draws_beside(host: Host, keep_busy: KeepBusy) -> bool:
    """Whether it draws within a thousand turns of the reactor."""
    drawn: list[bool] = []
    leave: list[Callable[[], object]] = []

    def end(has_drawn: bool) -> None:
        if not drawn:
            drawn.append(has_drawn)
            leave[0]()

    def work() -> None:
        if reactor.turn == 10:
            host.when_idle(lambda: end(True))
        elif reactor.turn > 1000:
            end(False)

    with contextlib.closing(Reactor()) as reactor, keep_busy(reactor, work):
        guest = host.attach(reactor)
        host.nest(leave.append)
        guest.detach()
    return drawn[0]


@contextlib.contextmanager
def always_readable(reactor: Reactor, work: Callable[[], object]) -> Iterator[None]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        reactor.register(ours, READ, lambda events: work())
        yield
        reactor.unregister(ours)


@contextlib.contextmanager
def always_due(reactor: Reactor, work: Callable[[], object]) -> Iterator[None]:
    def again() -> None:
        work()
        reactor.call_soon(again)

    reactor.call_soon(again)
    yield


KeepBusy = Callable[[Reactor, Callable[[], object]], contextlib.AbstractContextManager[None]]


def destroyed(host: Host) -> dict[str, Any]:
    """A window that is destroyed, and nobody has thought of the guest."""
    assert isinstance(host, Tk)
    import tkinter

    with contextlib.closing(Reactor()) as reactor:
        guest = host.attach(reactor)
        reactor.call_later(PATIENCE, print)
        child = tkinter.Frame(host.root)
        attached = []

        def destroy() -> None:
            child.destroy()
            attached.append(guest.attached)
            host.root.destroy()

        host.later(destroy)
        host.run()
        return {"attached": [*attached, guest.attached]}


def main(name: str, scene: str, *lines: str) -> None:
    hosts: dict[str, type[Host]] = {"tk": Tk, "glib": GLib, "qt": Qt}
    scenes: dict[str, Callable[..., dict[str, Any]]] = {"serve": serve, "dialog": dialog, "drawing": drawing,
                                                   "destroyed": destroyed}
    print(json.dumps(scenes[scene](hosts[name](), *lines)))


if __name__ == "__main__":
    main(*sys.argv[1:])
