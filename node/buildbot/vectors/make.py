"""Writes the golden bytes of this folder, as Twisted says them. Run it with any Python 3:

    python3 node/buildbot/vectors/make.py

It makes a virtual environment below target/ for itself. Lines of banana.txt are a name, a dialect and bytes; of jelly.txt a
name and bytes in the dialect "pb"; of session.txt the side that speaks ("server" or "client") and bytes, in order.
"""

import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "peer"))
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[2] / "target"))

try:
    from twisted.spread import banana, pb
except ImportError:
    import venv as twisted_venv

    requirements = HERE.parent / "tests" / "peer" / "twisted.txt"
    python = str(twisted_venv.python_of(TARGET / "tmp" / "twisted", requirements))
    os.execv(python, [python, *sys.argv])

from twisted.cred import checkers, portal
from twisted.cred.credentials import UsernamePassword
from twisted.internet import defer
from twisted.python import failure
from zope.interface import implementer

BANANA = {
    "zero": 0,
    "one": 1,
    "largest_int": 2**31 - 1,
    "smallest_long_int": 2**31,
    "largest_i64": 2**63 - 1,
    "above_i64": 2**63,
    "largest_u64": 2**64 - 1,
    "largest_of_all": 2**448 - 1,
    "minus_one": -1,
    "smallest_neg": -(2**31),
    "largest_long_neg": -(2**31) - 1,
    "smallest_i64": -(2**63),
    "below_i64": -(2**63) - 1,
    "smallest_of_all": -(2**448) + 1,
    "float": 1.5,
    "float_negative": -0.1,
    "float_infinite": float("inf"),
    "string_empty": b"",
    "string": b"hello",
    "string_200": bytes(range(200)),
    "word": b"message",
    "words": [word for word, _ in sorted(banana.Banana.outgoingVocabulary.items(), key=lambda pair: pair[1])],
    "list_empty": [],
    "list": [1, [b"two", [3.0]], []],
}


def banana_lines():
    for dialect in (b"none", b"pb"):
        for name, value in BANANA.items():
            yield f"{name} {dialect.decode()} {banana_bytes(value, dialect).hex()}"


def banana_bytes(value, dialect=b"pb"):
    codec, written = banana.Banana(), []
    codec.setPrefixLimit(64)
    codec.currentDialect = dialect
    codec._encode(value, written.append)
    return b"".join(written)


def jelly_values():
    shared = [1, "two"]
    cycle = []
    cycle.append(cycle)
    error = failure.Failure(OSError(28, "No space left on device"))
    yield "none", None
    yield "true", True
    yield "false", False
    yield "int", -5
    yield "long", 2**64 - 1
    yield "float", 0.25
    yield "bytes", b"\0\xff"
    yield "bytes_word", b"message"
    yield "text", "häß €"
    yield "text_word", "message"
    yield "list", [1, [], ["a"]]
    yield "tuple", (1, ("b",))
    yield "dict", {"a": 1, b"b": None, 3: {"c": ()}}
    yield "set", {7}
    yield "frozenset", frozenset({8})
    yield "shared", (shared, shared, {"again": shared})
    yield "cycle", cycle
    yield "failure", pb.failure2Copyable(error)
    yield "failure_traced", pb.failure2Copyable(error, unsafeTracebacks=True)


def jelly_lines():
    broker = pb.Broker()
    for name, value in jelly_values():
        yield f"{name} {banana_bytes(broker.serialize(value)).hex()}"


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


class Writer(pb.Referenceable):
    def __init__(self):
        self.blocks = []

    def remote_write(self, block):
        self.blocks.append(block)

    def remote_close(self):
        pass


class Command(pb.Referenceable):
    def remote_update(self, updates):
        return 0

    def remote_complete(self, failure):
        pass


class Master(pb.Avatar):
    """Does what a master does when a worker attaches and runs an upload."""

    def perspective_keepalive(self):
        pass

    def perspective_refuse(self):
        raise pb.Error("not this")

    @defer.inlineCallbacks
    def attach(self, mind):
        yield mind.callRemote("print", "attached")
        yield mind.callRemote("getWorkerInfo")
        builders = yield mind.callRemote("setBuilderList", [("linux", "build-linux")])
        self.builder = builders["linux"]
        yield self.builder.callRemote("print", message="attached")

    @defer.inlineCallbacks
    def build(self):
        yield self.builder.callRemote("startBuild")
        args = {"workersrc": "out.bin", "workdir": "build", "writer": Writer(), "blocksize": 16384, "maxsize": None}
        yield self.builder.callRemote("startCommand", Command(), "7", "uploadFile", args)


@implementer(portal.IRealm)
class Realm:
    def __init__(self):
        self.master = Master()

    @defer.inlineCallbacks
    def requestAvatar(self, avatar_id, mind, *interfaces):
        yield self.master.attach(mind)
        return pb.IPerspective, self.master, lambda: None


class Builder(pb.Referenceable):
    def remote_print(self, message):
        pass

    def remote_startBuild(self):
        pass

    def remote_startCommand(self, command, command_id, name, args):
        self.command, self.writer = command, args["writer"]


class Worker(pb.Referenceable):
    def remote_print(self, message):
        pass

    def remote_getWorkerInfo(self):
        return {"environ": {"HOME": "/home/w"}, "system": "posix", "numcpus": 2}

    def remote_setBuilderList(self, builders):
        self.builder = Builder()
        return {name: self.builder for name, _ in builders}


def session_lines():
    """A worker logs in, is attached, sends a file of one block and an update, and is refused a call."""
    said = []
    pb.challenge = lambda: bytes(range(16))
    realm, worker = Realm(), Worker()
    users = checkers.InMemoryUsernamePasswordDatabaseDontUse(worker1=b"secret")
    server = pb.PBServerFactory(portal.Portal(realm, [users])).buildProtocol(None)
    factory = pb.PBClientFactory()
    client = factory.buildProtocol(None)
    server.transport, client.transport = Side("server", said), Side("client", said)
    server.connectionMade()
    client.connectionMade()

    def exchange():
        while (from_server := server.transport.take()) or client.transport.pending:
            client.dataReceived(from_server)
            if from_client := client.transport.take():
                server.dataReceived(from_client)

    result = []
    factory.login(UsernamePassword(b"worker1", b"secret"), worker).addBoth(result.append)
    exchange()
    perspective = result.pop()
    assert isinstance(perspective, pb.RemoteReference), perspective
    realm.master.build().addErrback(result.append)
    exchange()
    builder = worker.builder
    builder.writer.callRemote("write", b"block").addErrback(result.append)
    exchange()
    builder.writer.callRemote("close").addErrback(result.append)
    builder.command.callRemote("update", [[{"header": "sending", "rc": 0}, 0]]).addErrback(result.append)
    builder.command.callRemote("complete", None).addErrback(result.append)
    exchange()
    builder.writer = None
    builder.command = None
    exchange()
    assert not result, result
    perspective.callRemote("refuse").addErrback(result.append)
    exchange()
    assert result and result.pop().check("twisted.spread.pb.Error")
    assert not server.transport.lost and not client.transport.lost
    yield from said


def main():
    for name, lines in (("banana", banana_lines), ("jelly", jelly_lines), ("session", session_lines)):
        (HERE / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines()))


if __name__ == "__main__":
    main()
