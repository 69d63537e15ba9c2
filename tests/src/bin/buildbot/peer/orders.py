"""Does what standard input orders, a line each, and tells what happens, a line "TOLD {json}" of the log each.

    BUILD name    a build of this builder
    STOP name     the end of its build

The master ends with its standard input.
"""

import json
import os
import sys
import threading
from pathlib import Path

from buildbot.process.logobserver import LogLineObserver
from buildbot.util import service
from twisted.internet import defer, reactor
from twisted.python import log


def tell(event, **what):
    log.msg("TOLD " + json.dumps({"event": event, **what}))


class TellLines(LogLineObserver):
    """Tells each line of a step's standard output as it comes."""

    def outLineReceived(self, line):
        tell("line", line=line)


class StopAtOutput(LogLineObserver):
    """Stops the build as soon as its step says something."""

    def outLineReceived(self, line):
        self.step.master.data.control("stop", {"reason": "enough"}, ("builds", self.step.build.buildid))


class Orders(service.BuildbotService):
    name = "orders"

    @defer.inlineCallbacks
    def startService(self):
        yield super().startService()
        reactor.orders = self
        self.consumers = []
        for callback, what in [
            (self.worker_came, ("workers", None, "connected")),
            (self.worker_went, ("workers", None, "disconnected")),
            (self.step_began, ("steps", None, "started")),
            (self.step_ended, ("steps", None, "finished")),
            (self.build_ended, ("builds", None, "finished")),
        ]:
            self.consumers.append((yield self.master.mq.startConsuming(callback, what)))

    @defer.inlineCallbacks
    def stopService(self):
        for consumer in self.consumers:
            yield consumer.stopConsuming()
        yield super().stopService()

    def worker_came(self, key, worker):
        tell("attached")

    def worker_went(self, key, worker):
        tell("detached")

    def step_began(self, key, step):
        tell("step-began", step=step["name"])

    def step_ended(self, key, step):
        tell("step-ended", step=step["name"], result=step["results"])

    @defer.inlineCallbacks
    def build_ended(self, key, build):
        tell("build-ended", builder=(yield self.name_of(build["builderid"])))
        steps = []
        for step in (yield self.master.data.get(("builds", build["buildid"], "steps"))):
            logs = {}
            for entry in (yield self.master.data.get(("steps", step["stepid"], "logs"))):
                logs[entry["name"]] = yield self.keep(entry)
            steps.append({"name": step["name"], "result": step["results"], "logs": logs})
        builder = yield self.name_of(build["builderid"])
        tell("build", builder=builder, result=build["results"], steps=steps)

    @defer.inlineCallbacks
    def keep(self, entry):
        """Writes a log to a file and returns its path."""
        content = None
        # As long as the master puts its pieces together, some may be found twice.
        while content is None or content.count("\n") != entry["num_lines"]:
            contents = yield self.master.data.get(("logs", entry["logid"], "contents"))
            content = contents["content"]
        path = Path("told", f"{entry['logid']}")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="")
        return str(path.resolve())

    @defer.inlineCallbacks
    def name_of(self, builderid):
        builder = yield self.master.data.get(("builders", builderid))
        return builder["name"]

    @defer.inlineCallbacks
    def obey(self, line):
        verb, name = line.split()
        if verb == "BUILD":
            builder = yield self.builder(name)
            yield self.master.data.control("force", {"builderid": builder}, ("forceschedulers", "force"))
        elif verb == "STOP":
            builder = yield self.builder(name)
            for build in (yield self.master.data.get(("builders", builder, "builds"))):
                if not build["complete"]:
                    yield self.master.data.control("stop", {"reason": "ordered"}, ("builds", build["buildid"]))

    @defer.inlineCallbacks
    def builder(self, name):
        builder = yield self.master.data.get(("builders", name))
        return builder["builderid"]


def take_orders():
    for line in sys.stdin:
        reactor.callFromThread(lambda line=line: reactor.orders.obey(line).addErrback(log.err))
    reactor.callFromThread(os._exit, 0)


threading.Thread(target=take_orders, daemon=True).start()
