"""Commands on Runnel nodes for Twisted programs, over `runnel gateway amp`: node/amp/AMP.md says what each does.

    runnel gateway amp --listen unix:/run/runnel/amp.sock &
    python3 runnel_amp.py unix:/run/runnel/amp.sock w1 uname -a

A program of its own connects a `Runnel` and calls:

    runnel = yield connectProtocol(clientFromString(reactor, "unix:/run/runnel/amp.sock"), Runnel())
    running = yield runnel.start(Exec, node="w1", program="make", args=["all"])
    ended = yield running.ended                 # a dictionary: kind, exit_code, ...
    print(ended["exit_code"], running.stdout.decode())
"""

import sys

from twisted.internet import defer, task
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.protocols import amp


class RunnelError(Exception):
    """The gateway says no; `code` is stable, the text says what to do."""

    code = ""


CODES = (
    # Those of the node's API (node/API.md).
    "bad-request bad-arguments bad-id unknown-command unknown-node ended no-body no-such-path key-conflict body-taken "
    "not-held too-large unknown-command-type no-store body-broken queue-full store-full key-pending stopping internal "
    # Those of the gateway.
    "busy followed no-daemon forgotten bad-answer "
    # Outcomes of commands that are waited for.
    "failed rejected expired cancelled unknown"
).split()

ERRORS = {
    type(code.title().replace("-", ""), (RunnelError,), {"code": code}): code.encode() for code in CODES
}


def text(optional=False):
    return amp.Unicode(optional=optional)


def number(optional=False):
    return amp.Integer(optional=optional)


def flag():
    return amp.Boolean(optional=True)


def texts(optional=False):
    return amp.ListOf(amp.Unicode(), optional=optional)


# What can be said of every command that is submitted.
OPTIONS = [
    (b"node", text()),
    (b"class", text(True)),
    (b"deadline_ms", number(True)),
    (b"key", text(True)),
    (b"delivery", text(True)),
    (b"updates", text(True)),
    (b"body", text(True)),
    (b"summary", text(True)),
]
ID = [(b"id", text())]
RESULT = [(b"id", text()), (b"result", amp.String())]


# What a program asks. Those that are followed: their output and their end come by the commands below.


class Submit(amp.Command):
    arguments = OPTIONS + [
        (b"command", text()),
        (b"args", text(True)),
        (b"args_raw", amp.String(optional=True)),
        (b"has_body", flag()),
        (b"follow", flag()),
        (b"steps", flag()),
        (b"result_body", flag()),
    ]
    response = ID
    errors = ERRORS


class Exec(amp.Command):
    arguments = OPTIONS + [
        (b"program", text()),
        (b"args", texts(True)),
        (b"env", amp.AmpList([(b"name", text()), (b"value", text(True))], optional=True)),
        (b"expand_env", flag()),
        (b"report_env", flag()),
        (b"cwd", text(True)),
        (b"make_cwd", flag()),
        (b"terminal", flag()),
        (b"log_files", amp.AmpList([(b"name", text()), (b"path", text()), (b"follow", flag())], optional=True)),
        (b"timeout_ms", number(True)),
        (b"no_output_timeout_ms", number(True)),
        (b"lines_max", number(True)),
        (b"stop_signal", text(True)),
        (b"kill_grace_ms", number(True)),
        (b"kill_signal", text(True)),
        (b"has_body", flag()),
    ]
    response = ID
    errors = ERRORS


class Put(amp.Command):
    arguments = OPTIONS + [
        (b"path", text()),
        (b"kind", text(True)),
        (b"mode", number(True)),
        (b"replace", flag()),
        (b"make_parents", flag()),
    ]
    response = ID
    errors = ERRORS


class Get(amp.Command):
    arguments = OPTIONS + [(b"path", text()), (b"compress", text(True))]
    response = ID
    errors = ERRORS


# Those that are waited for: the answer has their result, as JSON.


class Mkdir(amp.Command):
    arguments = OPTIONS + [(b"paths", texts())]
    response = RESULT
    errors = ERRORS


class Remove(amp.Command):
    arguments = OPTIONS + [(b"paths", texts()), (b"folders", flag()), (b"force", flag())]
    response = RESULT
    errors = ERRORS


class Copy(amp.Command):
    arguments = OPTIONS + [
        (b"source", text()),
        (b"target", text()),
        (b"replace", flag()),
        (b"make_parents", flag()),
    ]
    response = RESULT
    errors = ERRORS


class Stat(amp.Command):
    arguments = OPTIONS + [(b"path", text()), (b"follow_link", flag())]
    response = RESULT
    errors = ERRORS


class List(amp.Command):
    arguments = OPTIONS + [(b"path", text()), (b"after", text(True)), (b"limit", number(True))]
    response = RESULT
    errors = ERRORS


class Glob(amp.Command):
    arguments = OPTIONS + [(b"pattern", text()), (b"after", text(True)), (b"limit", number(True))]
    response = RESULT
    errors = ERRORS


class Ping(amp.Command):
    arguments = OPTIONS + [(b"number", number(True))]
    response = RESULT
    errors = ERRORS


class Info(amp.Command):
    arguments = OPTIONS
    response = RESULT
    errors = ERRORS


# What is asked of commands, bodies and nodes.


class Follow(amp.Command):
    arguments = ID + [(b"after_update", number(True)), (b"steps", flag()), (b"result_body", flag())]
    errors = ERRORS


class Open(amp.Command):
    response = ID
    errors = ERRORS


class Write(amp.Command):
    arguments = ID + [(b"data", amp.String())]
    errors = ERRORS


class Close(amp.Command):
    arguments = ID
    response = [(b"body", text(True))]
    errors = ERRORS


class Cancel(amp.Command):
    arguments = ID
    errors = ERRORS


class Abandon(amp.Command):
    arguments = ID
    errors = ERRORS


class Describe(amp.Command):
    arguments = ID
    response = [(b"command", text())]
    errors = ERRORS


class Nodes(amp.Command):
    arguments = [(b"after", text(True))]
    response = [
        (
            b"nodes",
            amp.AmpList(
                [
                    (b"node", text()),
                    (b"state", text()),
                    (b"role", text(True)),
                    (b"queued", number()),
                    (b"in_flight", number()),
                ]
            ),
        ),
        (b"next", text(True)),
    ]
    errors = ERRORS


# What the gateway asks of a program that follows commands. It sends a few pieces, and goes on when they are answered: a
# responder that returns a Deferred holds the command's output back.


class Output(amp.Command):
    arguments = ID + [
        (b"update", number()),
        (b"stream", text()),
        (b"name", text(True)),
        (b"data", amp.String()),
        (b"more", amp.Boolean()),
    ]


class Update(amp.Command):
    arguments = ID + [(b"update", number()), (b"data", amp.String()), (b"more", amp.Boolean())]


class Event(amp.Command):
    arguments = ID + [(b"data", amp.String()), (b"more", amp.Boolean())]


class Data(amp.Command):
    arguments = ID + [(b"offset", number()), (b"data", amp.String())]


class DataEnd(amp.Command):
    arguments = ID + [(b"bytes", number()), (b"error", text(True))]


class Result(amp.Command):
    arguments = ID + [(b"data", amp.String()), (b"more", amp.Boolean())]


class Ended(amp.Command):
    arguments = ID + [
        (b"kind", text()),
        (b"exit_code", number(True)),
        (b"signal", number(True)),
        (b"reason", text(True)),
        (b"message", text(True)),
        (b"result", amp.String(optional=True)),
    ]


class Lost(amp.Command):
    arguments = ID + [(b"code", text()), (b"description", text())]


class Running:
    """A command that is followed. What it says is kept here; override the methods to do something else with it. One that
    returns a Deferred holds the command's output back until it fires."""

    def __init__(self):
        self.id = None
        self.ended = defer.Deferred()
        self.last_update = 0
        self.output = {}
        self.updates = []
        self.events = []
        self.data = bytearray()
        self.data_error = None
        self.pieces = bytearray()

    @property
    def stdout(self):
        return self.output.get("stdout", b"")

    @property
    def stderr(self):
        return self.output.get("stderr", b"")

    def on_output(self, stream, data, name=None):
        """Takes output of `stdout` or `stderr`, or what a log file of this name brings (`log`)."""
        self.output.setdefault(stream if name is None else (stream, name), bytearray()).extend(data)

    def on_data(self, data):
        self.data.extend(data)

    def on_update(self, data):
        self.updates.append(bytes(data))

    def on_event(self, data):
        self.events.append(bytes(data))


class Runnel(amp.AMP):
    """A connection to the gateway, for programs that follow commands."""

    def __init__(self):
        super().__init__()
        self.running = {}
        self.lost = defer.Deferred()

    def start(self, command, running=None, /, **arguments):
        """Submits a command that is followed. The Deferred has it once it is stored."""
        return self.callRemote(command, **arguments).addCallback(self._register, running or Running())

    def follow(self, id, running=None, /, **arguments):
        """Follows a command that was submitted before, by this program or another."""
        running = running or Running()
        asked = self.callRemote(Follow, id=id, after_update=running.last_update, **arguments)
        return asked.addCallback(lambda _: self._register({"id": id}, running))

    @defer.inlineCallbacks
    def send(self, id, pieces):
        """Sends a body: for a command's id, or for that of `Open`, whose answer has the body's name."""
        for piece in pieces:
            yield self.callRemote(Write, id=id, data=piece)
        closed = yield self.callRemote(Close, id=id)
        return closed["body"]

    def _register(self, answer, running):
        # Nothing of the command has come yet: the answer is on the way before it.
        running.id = answer["id"]
        return self.running.setdefault(running.id, running)

    def _of(self, id):
        return self.running.get(id) or Running()

    def _answered(self, result):
        return defer.maybeDeferred(lambda: result).addCallback(lambda _: {})

    @Output.responder
    def _output(self, id, update, stream, data, more, name=None):
        running = self._of(id)
        if not more:
            running.last_update = update
        return self._answered(running.on_output(stream, data, *([] if name is None else [name])))

    @Update.responder
    def _update(self, id, update, data, more):
        running = self._of(id)
        running.pieces.extend(data)
        if more:
            return {}
        running.last_update, pieces, running.pieces = update, running.pieces, bytearray()
        return self._answered(running.on_update(pieces))

    @Event.responder
    def _event(self, id, data, more):
        running = self._of(id)
        running.pieces.extend(data)
        if more:
            return {}
        pieces, running.pieces = running.pieces, bytearray()
        return self._answered(running.on_event(pieces))

    @Data.responder
    def _data(self, id, offset, data):
        return self._answered(self._of(id).on_data(data))

    @DataEnd.responder
    def _data_end(self, id, bytes, error=None):
        self._of(id).data_error = error
        return {}

    @Result.responder
    def _result(self, id, data, more):
        self._of(id).pieces.extend(data)
        return {}

    @Ended.responder
    def _ended(self, id, result=None, **outcome):
        running = self.running.pop(id, None)
        if running is not None:
            outcome["result"] = bytes(running.pieces) if running.pieces else result
            running.ended.callback(outcome)
        return {}

    @Lost.responder
    def _lost(self, id, code, description):
        running = self.running.pop(id, None)
        if running is not None:
            running.ended.errback(RunnelError(f"{code}: {description}"))
        return {}

    def connectionLost(self, reason):
        super().connectionLost(reason)
        running, self.running = self.running, {}
        for one in running.values():
            one.ended.errback(reason)
        self.lost.callback(None)


class Shown(Running):
    """Shows what a program puts out."""

    def on_output(self, stream, data, name=None):
        shown = sys.stderr if stream == "stderr" else sys.stdout
        shown.buffer.write(data)
        shown.flush()


@defer.inlineCallbacks
def main(reactor, endpoint, node, program, *args):
    runnel = yield connectProtocol(clientFromString(reactor, endpoint), Runnel())
    running = yield runnel.start(Exec, Shown(), node=node, program=program, args=list(args))
    ended = yield running.ended
    if ended["kind"] != "done":
        sys.exit(f"{ended['kind']}: {ended['message'] or ended['reason'] or ''}")
    sys.exit(ended["exit_code"] if ended["exit_code"] is not None else 1)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    task.react(main, sys.argv[1:])
