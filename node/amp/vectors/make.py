"""Writes the golden bytes of this folder, as Twisted says them. Run it with any Python 3:

    python3 node/amp/vectors/make.py

It makes a virtual environment below target/ for itself, with the Twisted of node/buildbot. Lines of values.txt are a name
and the bytes of a value; of boxes.txt a name and bytes; of session.txt the side that speaks ("client" or "server") and bytes,
in order.
"""

import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
PEER = HERE.parents[1] / "buildbot" / "tests" / "peer"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[2] / "target"))

try:
    from twisted.protocols import amp
except ImportError:
    sys.path.insert(0, str(PEER))
    import venv as twisted_venv

    python = str(twisted_venv.python_of(TARGET / "tmp" / "twisted", PEER / "twisted.txt"))
    os.execv(python, [python, *sys.argv])

PAIRS = amp.AmpList([(b"name", amp.Unicode()), (b"value", amp.Unicode(optional=True))])

VALUES = {
    "integer": (amp.Integer(), 1024),
    "integer_negative": (amp.Integer(), -5),
    "integer_u64": (amp.Integer(), 2**64 - 1),
    "true": (amp.Boolean(), True),
    "false": (amp.Boolean(), False),
    "text": (amp.Unicode(), "häß €"),
    "list": (amp.ListOf(amp.Unicode()), ["-c", "", "echo ä"]),
    "list_empty": (amp.ListOf(amp.Unicode()), []),
    "boxes": (PAIRS, [{"name": "PATH", "value": "/bin"}, {"name": "HOME"}]),
    "boxes_empty": (PAIRS, []),
}

BOXES = {
    "one": amp.Box(a=b"1"),
    "empty_value": amp.Box({b"key": b""}),
    "sorted": amp.Box({b"b": b"2", b"_ask": b"1f", b"a": b"1"}),
    "long": amp.Box({b"k" * 255: b"v" * 300}),
}


class Divide(amp.Command):
    arguments = [(b"numerator", amp.Integer()), (b"denominator", amp.Integer())]
    response = [(b"result", amp.Integer())]
    errors = {ZeroDivisionError: b"ZERO"}


class Told(amp.Command):
    arguments = [(b"text", amp.Unicode())]
    requiresAnswer = False


class Progress(amp.Command):
    arguments = [(b"percent", amp.Integer())]


class Missing(amp.Command):
    pass


class Server(amp.AMP):
    @Divide.responder
    def divide(self, numerator, denominator):
        return {"result": numerator // denominator}

    @Told.responder
    def told(self, text):
        return {}


class Client(amp.AMP):
    @Progress.responder
    def progress(self, percent):
        return {}


class Side:
    """A connection's end in memory: it notes what is written, and who said it."""

    def __init__(self, name, said):
        self.name, self.said, self.pending, self.lost = name, said, b"", False

    def write(self, data):
        self.pending += data

    def take(self):
        data, self.pending = self.pending, b""
        if data:
            self.said.append(f"{self.name} {data.hex()}")
        return data

    def loseConnection(self):
        self.lost = True

    def getPeer(self):
        return self.name

    getHost = getPeer


def session_lines():
    """A client asks, is answered, hears an error and of a command that does not exist, tells, and is asked itself."""
    said, results = [], []
    client, server = Client(), Server()
    client.makeConnection(Side("client", said))
    server.makeConnection(Side("server", said))

    def exchange():
        while client.transport.pending or server.transport.pending:
            server.dataReceived(client.transport.take())
            client.dataReceived(server.transport.take())

    def ask(side, command, **arguments):
        side.callRemote(command, **arguments).addBoth(results.append)
        exchange()
        return results.pop()

    assert ask(client, Divide, numerator=7, denominator=2) == {"result": 3}
    assert ask(client, Divide, numerator=7, denominator=0).check(ZeroDivisionError)
    assert ask(client, Missing).check(amp.UnhandledCommand)
    client.callRemote(Told, text="häß")
    exchange()
    assert ask(server, Progress, percent=50) == {}
    assert not (client.transport.lost or server.transport.lost)
    yield from said


def main():
    lines = {
        "values": (f"{name} {kind.toStringProto(value, None).hex()}" for name, (kind, value) in VALUES.items()),
        "boxes": (f"{name} {box.serialize().hex()}" for name, box in BOXES.items()),
        "session": session_lines(),
    }
    for name, of in lines.items():
        (HERE / f"{name}.txt").write_text("".join(f"{line}\n" for line in of))


if __name__ == "__main__":
    main()
