"""A Twisted program that does with a gateway all that AMP.md says, on the nodes of a test.

    python3 program.py ENDPOINT FOLDER NAME...

FOLDER is where the worker `w1` is confined to. Each NAME is a scenario below; its name is printed once it has gone well.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples"))

from twisted.internet import defer, error, protocol, task, threads
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.protocols import amp

import runnel_amp as r

SECONDS_MAX = 60
PIECE = 60 * 1024


def script(text, **more):
    return {"node": "w1", "program": "/bin/sh", "args": ["-c", text], **more}


def hashed(data):
    return hashlib.sha256(data).hexdigest()


def equal(one, other):
    assert one == other, f"{one!r} is not {other!r}"


@defer.inlineCallbacks
def refused(deferred, code):
    try:
        yield deferred
    except r.RunnelError as refusal:
        equal(refusal.code, code)
        return str(refusal)
    raise AssertionError(f"it was not refused as {code}")


class Scenarios:
    def __init__(self, reactor, endpoint, folder):
        self.reactor, self.endpoint, self.folder = reactor, endpoint, Path(folder)

    @defer.inlineCallbacks
    def connect(self):
        self.runnel = yield connectProtocol(clientFromString(self.reactor, self.endpoint), r.Runnel())

    @defer.inlineCallbacks
    def run(self, command, running=None, /, **arguments):
        running = yield self.runnel.start(command, running, **arguments)
        ended = yield running.ended
        return running, ended

    @defer.inlineCallbacks
    def exec(self):
        running, ended = yield self.run(r.Exec, **script("echo out; echo err >&2; exit 3"))
        equal((ended["kind"], ended["exit_code"], ended["signal"]), ("done", 3, None))
        equal(json.loads(ended["result"]), {"cause": "natural"})
        equal((bytes(running.stdout), bytes(running.stderr)), (b"out\n", b"err\n"))
        env = [{"name": "WHO", "value": "häß"}]
        running, ended = yield self.run(r.Exec, **script("echo $WHO; pwd", env=env, cwd="."))
        equal(bytes(running.stdout).decode().splitlines(), ["häß", str(self.folder.resolve())])
        logs = [{"name": "l", "path": "the.log"}]
        running, ended = yield self.run(r.Exec, **script("echo logged > the.log", log_files=logs, terminal=True))
        equal((ended["exit_code"], bytes(running.output["log", "l"])), (0, b"logged\n"))
        answer = yield self.runnel.callRemote(r.Ping, node="w1", number=2**64 - 1)
        equal(json.loads(answer["result"]), {"number": 2**64 - 1})
        answer = yield self.runnel.callRemote(r.Info, node="w1")
        equal(json.loads(answer["result"])["os"], "linux")

    @defer.inlineCallbacks
    def stdin(self):
        running = yield self.runnel.start(r.Exec, **script("cat; echo end", has_body=True))
        yield self.runnel.send(running.id, [b"hello ", b"\xff" * 65535, b"", b"there\n"])
        ended = yield running.ended
        equal(ended["exit_code"], 0)
        equal(bytes(running.stdout), b"hello " + b"\xff" * 65535 + b"there\nend\n")
        yield refused(self.runnel.callRemote(r.Close, id=running.id), "ended")

    @defer.inlineCallbacks
    def failing(self):
        _, ended = yield self.run(r.Exec, node="w1", program="/no/such/program")
        equal((ended["kind"], ended["reason"]), ("failed", "handler"))
        assert "/no/such/program" in ended["message"], ended
        why = yield refused(self.runnel.callRemote(r.Remove, node="w1", paths=["."], folders=True), "failed")
        assert why.startswith("handler: "), why
        _, ended = yield self.run(r.Submit, node="w1", command="mine/1", args_raw=b"", follow=True)
        equal((ended["kind"], ended["reason"]), ("rejected", "unknown-command"))

    @defer.inlineCallbacks
    def files(self):
        content = bytes(range(256)) * 2000
        pieces = [content[at : at + PIECE] for at in range(0, len(content), PIECE)]
        running = yield self.runnel.start(r.Put, node="w1", path="new/a", make_parents=True, mode=0o640)
        yield self.runnel.send(running.id, pieces)
        ended = yield running.ended
        equal((ended["kind"], json.loads(ended["result"])), ("done", {"files": 1, "bytes": len(content)}))
        equal(hashed((self.folder / "new/a").read_bytes()), hashed(content))
        running, ended = yield self.run(r.Get, node="w1", path="new/a")
        equal((ended["kind"], running.data_error), ("done", None))
        equal(hashed(running.data), hashed(content))
        found = json.loads(running.events[0])["found"]
        equal((found["kind"], found["bytes"], found["mode"] & 0o777), ("file", len(content), 0o640))
        running, ended = yield self.run(r.Get, node="w1", path="missing")
        equal((ended["kind"], ended["reason"]), ("failed", "handler"))
        assert running.data_error.startswith("body-broken: "), running.data_error

    @defer.inlineCallbacks
    def folders(self):
        def ask(command, **arguments):
            asked = self.runnel.callRemote(command, node="w1", **arguments)
            return asked.addCallback(lambda answer: json.loads(answer["result"]))

        equal((yield ask(r.Mkdir, paths=["f/g", "f/h"])), {"folders": 3})
        (self.folder / "f/g/a.txt").write_text("a")
        equal((yield ask(r.Copy, source="f/g", target="f/i")), {"files": 1, "bytes": 1})
        listed = yield ask(r.List, path="f", limit=2)
        equal([entry["name"] for entry in listed["entries"]], ["g", "h"])
        listed = yield ask(r.List, path="f", limit=2, after=listed["next"])
        equal(([entry["name"] for entry in listed["entries"]], listed["next"]), (["i"], None))
        found = yield ask(r.Glob, pattern="f/**/*.txt")
        equal(found["paths"], ["f/g/a.txt", "f/i/a.txt"])
        stat = yield ask(r.Stat, path="f/i/a.txt")
        equal((stat["kind"], stat["bytes"]), ("file", 1))
        equal((yield ask(r.Stat, path="f/none")), None)
        removed = yield ask(r.Remove, paths=["f"], folders=True)
        equal(removed["paths"], ["f"])

    @defer.inlineCallbacks
    def too_long(self):
        # Twisted itself refuses to say it, and the connection goes on.
        running = yield self.runnel.start(r.Exec, **script("cat", has_body=True))
        try:
            yield self.runnel.callRemote(r.Write, id=running.id, data=b"x" * 65536)
            raise AssertionError("it was sent")
        except amp.TooLong as too_long:
            assert not too_long.isKey
        yield self.runnel.send(running.id, [b"x"])
        yield running.ended
        # What the gateway cannot say it says in pieces to whoever follows, and refuses to whoever waits.
        (self.folder / "many").mkdir()
        for number in range(100):
            # In JSON each of these characters takes six.
            (self.folder / "many" / f"{number}{chr(1) * 200}").touch()
        why = yield refused(self.runnel.callRemote(r.List, node="w1", path="many"), "too-large")
        assert "65535" in why and "`limit`" in why and "`Submit`" in why, why
        args = json.dumps({"path": "many"})
        _, ended = yield self.run(r.Submit, node="w1", command="fs.list/1", args=args, follow=True)
        equal(len(json.loads(ended["result"])["entries"]), 100)
        # Arguments that the node takes no more of: it says what to do.
        why = yield refused(
            self.runnel.callRemote(r.Exec, node="w1", program="true", args=["x" * 32000] * 2, cwd="y" * 9000), "too-large"
        )
        assert "body" in why, why

    @defer.inlineCallbacks
    def refusals(self):
        class Missing(amp.Command):
            pass

        try:
            yield self.runnel.callRemote(Missing)
            raise AssertionError("there is such a command")
        except amp.UnhandledCommand:
            pass
        yield refused(self.runnel.callRemote(r.Ping, node="stranger"), "unknown-node")
        yield refused(self.runnel.callRemote(r.Ping, node="No Name"), "bad-request")
        yield refused(self.runnel.callRemote(r.Submit, node="w1", command="mine/1"), "unknown-command-type")
        yield refused(self.runnel.callRemote(r.Submit, node="w1", command="exec/1", args="{}"), "bad-arguments")
        yield refused(self.runnel.callRemote(r.Cancel, id="no id"), "bad-id")
        yield refused(self.runnel.callRemote(r.Follow, id="ctl.w1.00000000000000ff.7"), "unknown-command")
        yield refused(self.runnel.callRemote(r.Write, id="body-9", data=b"x"), "no-body")
        yield refused(self.runnel.callRemote(r.Ping, node="gone", deadline_ms=20), "expired")

    @defer.inlineCallbacks
    def cancel(self):
        class First(r.Running):
            def __init__(self):
                super().__init__()
                self.first = defer.Deferred()

            def on_output(self, stream, data):
                self.first.callback(data)

        running = yield self.runnel.start(r.Exec, First(), **script("echo running; sleep 1000"))
        yield running.first
        yield refused(self.runnel.callRemote(r.Follow, id=running.id), "followed")
        described = yield self.runnel.callRemote(r.Describe, id=running.id)
        equal(json.loads(described["command"])["stage"], "started")
        yield self.runnel.callRemote(r.Cancel, id=running.id)
        ended = yield running.ended
        equal((ended["kind"], ended["reason"]), ("failed", "cancelled"))
        yield refused(self.runnel.callRemote(r.Cancel, id=running.id), "ended")
        waiting = yield self.runnel.start(r.Exec, node="gone", program="true")
        yield self.runnel.callRemote(r.Abandon, id=waiting.id)
        ended = yield waiting.ended
        equal(ended["kind"], "cancelled")

    @defer.inlineCallbacks
    def held_back(self):
        """A program that does not answer gets a few pieces and no more, and all of them once it does."""

        class Slow(r.Running):
            def __init__(self):
                super().__init__()
                self.held, self.is_free, self.came = [], False, defer.Deferred()

            def on_output(self, stream, data):
                super().on_output(stream, data)
                if self.is_free:
                    return None
                self.held.append(defer.Deferred())
                if len(self.held) == 4:
                    self.came.callback(None)
                return self.held[-1]

        count = 3_000_000
        running = yield self.runnel.start(r.Exec, Slow(), **script(f"head -c {count} /dev/zero; echo end"))
        yield running.came
        # Others are not held back by it: what would come comes meanwhile.
        for number in range(20):
            yield self.runnel.callRemote(r.Ping, node="w1", number=number)
        equal(len(running.held), 4)
        running.is_free = True
        for held in running.held:
            held.callback(None)
        ended = yield running.ended
        equal(ended["exit_code"], 0)
        equal(bytes(running.stdout), b"\0" * count + b"end\n")

    @defer.inlineCallbacks
    def raw(self):
        running, ended = yield self.run(
            r.Submit, node="w1", command="sys.ping/1", args_raw=b"\x07", follow=True, steps=True
        )
        equal((ended["kind"], ended["result"]), ("done", b"\x07"))
        equal(json.loads(running.events[0])["event"], "stored")

    @defer.inlineCallbacks
    def registered(self):
        """A command of a worker's own: a word and how often, as bincode writes them."""
        word = b"\x02on"
        running, ended = yield self.run(
            r.Submit, node="gone", command="test.repeat/1", args_raw=word + b"\x03", follow=True
        )
        equal((ended["kind"], ended["result"]), ("done", b"\x03" + word))
        equal((running.updates, running.last_update), ([word] * 3, 3))

    @defer.inlineCallbacks
    def nodes(self):
        answer = yield self.runnel.callRemote(r.Nodes)
        equal([(node["node"], node["state"]) for node in answer["nodes"]], [("gone", "down"), ("w1", "up")])
        equal((answer["nodes"][1]["role"], answer["next"]), ("worker", None))
        answer = yield self.runnel.callRemote(r.Nodes, after="gone")
        equal([node["node"] for node in answer["nodes"]], ["w1"])

    @defer.inlineCallbacks
    def reconnect(self):
        """A program that loses its connection follows its commands again: one that is durable, and one in memory."""
        fifo = self.folder / "fifo"
        for delivery in ("durable", "memory"):
            fifo.unlink(missing_ok=True)
            wait = "mkfifo fifo; echo one; read line < fifo; echo $line"
            running = yield self.runnel.start(r.Exec, **script(wait, delivery=delivery))
            while not running.stdout:
                yield self.runnel.callRemote(r.Ping, node="w1")
            lost, before = self.runnel.lost, running.ended
            self.runnel.transport.abortConnection()
            yield lost
            try:
                yield before
                raise AssertionError("the connection is lost")
            except (error.ConnectionDone, error.ConnectionLost):
                pass
            yield self.connect()
            again = r.Running()
            again.last_update = running.last_update
            yield self.runnel.follow(running.id, again)
            with open(fifo, "w") as writer:
                writer.write("two\n")
            ended = yield again.ended
            equal((ended["exit_code"], bytes(again.stdout)), (0, b"two\n"))

    @defer.inlineCallbacks
    def broken_body(self):
        """What is half sent when a program leaves is not taken for the whole."""
        running = yield self.runnel.start(r.Put, node="w1", path="half")
        yield self.runnel.callRemote(r.Write, id=running.id, data=b"x" * 1000)
        lost = self.runnel.lost
        running.ended.addErrback(lambda _: None)
        self.runnel.transport.abortConnection()
        yield lost
        yield self.connect()
        again = yield self.runnel.follow(running.id)
        ended = yield again.ended
        equal((ended["kind"], ended["reason"]), ("failed", "body-broken"))
        assert not (self.folder / "half").exists()

    @defer.inlineCallbacks
    def left_body(self):
        opened = yield self.runnel.callRemote(r.Open)
        body = yield self.runnel.send(opened["id"], [b"left ", b"here"])
        running, ended = yield self.run(r.Put, node="w1", path="left", body=body, delivery="durable", key="left 1")
        equal(ended["kind"], "done")
        equal((self.folder / "left").read_bytes(), b"left here")
        again = yield self.runnel.callRemote(r.Put, node="w1", path="left", body=body, delivery="durable", key="left 1")
        equal(again["id"], running.id)

    @defer.inlineCallbacks
    def hostile(self):
        """Whoever does not speak AMP is shown out, and the others are not disturbed."""

        class Other(protocol.Protocol):
            def connectionMade(self):
                self.lost = defer.Deferred()
                self.transport.write(b"GET / HTTP/1.1\r\n\r\n")

            def connectionLost(self, reason):
                self.lost.callback(None)

        other = yield connectProtocol(clientFromString(self.reactor, self.endpoint), Other())
        yield other.lost
        yield self.runnel.callRemote(r.Ping, node="w1")

    @defer.inlineCallbacks
    def many(self):
        """Many asks at once, more than the gateway takes: each is answered."""
        asked = [self.runnel.callRemote(r.Ping, node="w1", number=number) for number in range(200)]
        answers = yield defer.DeferredList(asked, consumeErrors=True)
        good = [json.loads(answer["result"])["number"] for is_good, answer in answers if is_good]
        codes = {answer.value.code for is_good, answer in answers if not is_good}
        assert good[:64] == list(range(64)), good
        assert codes <= {"busy"}, codes

    @defer.inlineCallbacks
    def restart(self):
        """The node is killed and started again, and the program need not know."""
        running = yield self.begin_waiting()
        (self.folder / "fifo").write_text("two\n")
        ended = yield running.ended
        equal((ended["exit_code"], bytes(running.stdout)), (0, b"one\ntwo\n"))

    @defer.inlineCallbacks
    def lost(self):
        """The node is killed and does not come back in time."""
        running = yield self.begin_waiting()
        why = yield refused(running.ended, "")
        assert why.startswith("no-daemon: "), why

    @defer.inlineCallbacks
    def begin_waiting(self):
        """Starts a script that waits, and has the test do to the node what it wants."""
        wait = "rm -f fifo; mkfifo fifo; echo one; read line < fifo; echo $line"
        running = yield self.runnel.start(r.Exec, **script(wait))
        while not running.stdout:
            yield self.runnel.callRemote(r.Ping, node="w1")
        print("waiting", flush=True)
        yield threads.deferToThread(sys.stdin.readline)
        return running

    @defer.inlineCallbacks
    def no_daemon(self):
        yield refused(self.runnel.callRemote(r.Ping, node="w1"), "no-daemon")
        yield refused(self.runnel.callRemote(r.Nodes), "no-daemon")


@defer.inlineCallbacks
def main(reactor, endpoint, folder, *names):
    for name in names:
        scenarios = Scenarios(reactor, endpoint, folder)
        yield scenarios.connect()
        try:
            yield getattr(scenarios, name)().addTimeout(SECONDS_MAX, reactor)
        except Exception as failure:
            raise AssertionError(f"{name} failed: {failure}") from failure
        lost = scenarios.runnel.lost
        scenarios.runnel.transport.loseConnection()
        yield lost
        print(name, flush=True)


task.react(main, sys.argv[1:])
