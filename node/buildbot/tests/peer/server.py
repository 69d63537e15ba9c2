"""A server of Perspective Broker for tests/twisted.rs: it does with a worker what it is asked to, through Twisted.

It listens on loopback, says "port N" and ends when its standard input does. The worker is worker1 with the password secret.
"""

import datetime
import sys
import threading

from twisted.cred import checkers, portal
from twisted.internet import defer, reactor
from twisted.logger import globalLogBeginner
from twisted.spread import pb
from zope.interface import implementer


class Reader(pb.Referenceable):
    """A file of the master."""

    def __init__(self, content):
        self.content = content

    def remote_read(self, length):
        block, self.content = self.content[:length], self.content[length:]
        return block

    def remote_close(self):
        raise OSError(9, "Bad file descriptor")


class Master(pb.Avatar):
    def __init__(self, mind):
        self.mind = mind
        self.kept = []

    @defer.inlineCallbacks
    def attach(self):
        """What a master asks before it answers the login."""
        yield self.mind.callRemote("print", message="attached")
        self.info = yield self.mind.callRemote("getWorkerInfo")
        builders = [("linux", "build-linux"), ("docs", "build-docs")]
        self.builders = yield self.mind.callRemote("setBuilderList", builders)
        for builder in self.builders.values():
            yield builder.callRemote("print", "attached")

    def perspective_attached(self):
        return self.info, sorted(self.builders)

    def perspective_echo(self, *values):
        return values

    def perspective_repr(self, value):
        return repr(value)

    def perspective_reader(self, content):
        return Reader(content)

    def perspective_objects(self):
        return len(self.mind.broker.localObjects)

    def perspective_keep(self, value):
        self.kept.append(value)

    def perspective_is_kept(self, value):
        return any(kept is value for kept in self.kept)

    def perspective_drop(self):
        self.kept.clear()

    def perspective_raise(self):
        raise FileNotFoundError(2, "No such file or directory", "päth")

    def perspective_refuse(self):
        raise pb.Error("not this")

    def perspective_shared(self):
        shared, reader = ["a", 1], [Reader(b"")]
        return shared, {"again": shared}, reader, reader

    def perspective_cycle(self):
        cycle = [1]
        cycle.append(cycle)
        return cycle

    def perspective_datetime(self):
        return datetime.datetime(2026, 1, 1)

    def perspective_block(self, length):
        return b"x" * length

    def perspective_call(self, target, method, args, kwargs):
        """Calls an object of the worker and tells what became of it."""

        def failed(failure):
            return "error", failure.type, failure.value, failure.parents

        return target.callRemote(method, *args, **kwargs).addCallbacks(lambda result: ("ok", result), failed)

    def perspective_check(self, target, method, expected):
        """Calls an object of the worker and tells whether it fails with an exception that is expected by its name."""
        deferred = target.callRemote(method).addErrback(lambda failure: failure.trap(expected))
        return deferred.addCallbacks(lambda trapped: trapped == expected, lambda failure: False)

    def perspective_tell(self, target, method):
        target.callRemote(method, pbanswer=False)

    @defer.inlineCallbacks
    def perspective_many(self, target, method, count):
        answers = yield defer.gatherResults([target.callRemote(method, number) for number in range(count)])
        return answers == list(range(count))


@implementer(portal.IRealm)
class Realm:
    @defer.inlineCallbacks
    def requestAvatar(self, avatar_id, mind, *interfaces):
        master = Master(mind)
        yield master.attach()
        return pb.IPerspective, master, lambda: None


def wait_for_end():
    sys.stdin.read()
    reactor.callFromThread(reactor.stop)


def main():
    # Exceptions that a test wants to see at the worker are no news here.
    globalLogBeginner.beginLoggingTo([lambda event: None], redirectStandardIO=False)
    users = checkers.InMemoryUsernamePasswordDatabaseDontUse(worker1=b"secret")
    factory = pb.PBServerFactory(portal.Portal(Realm(), [users]))
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    print("port", port.getHost().port, flush=True)
    threading.Thread(target=wait_for_end, daemon=True).start()
    reactor.run()


if __name__ == "__main__":
    main()
