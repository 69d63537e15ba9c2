#!/usr/bin/env python3
"""Builds a folder on another machine, through the local Runnel node's HTTP API (node/API.md).

    build.py NODE SOURCE RESULT COMMAND...

sends the folder SOURCE to NODE, runs COMMAND in it there, shows what it says as it comes, and brings RESULT, a file or
folder that the build made in it, into the current folder. Beside the build a second program looks at the load of NODE, and is
cancelled when the build has ended. Ctrl-C cancels the build. For example:

    build.py w1 src target/program make -j4

The exit code is that of COMMAND; else 2 (wrong arguments), 82 (the node will not run it), 85 (cancelled), 86 (nobody
knows how it ended), 88 (there is no local node), or 1. Python 3.12 or one that has the filters of tarfile, and nothing else.
"""

import base64
import gzip
import http.client
import json
import os
import shutil
import socket
import sys
import tarfile
import tempfile
import time

RECONNECT_S = 60
"""How long a build goes on unseen while the local node is away, in seconds."""


class Failure(Exception):
    """What ends this program: a text for people, and its exit code."""

    def __init__(self, message, code=1):
        super().__init__(message)
        self.code = code


class NoNode(Failure):
    """There is no local node, or not any more."""


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("runnel")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.connect(self.path)
        except OSError as error:
            raise NoNode(f"no node listens at {self.path} ({error.strerror}): start it, or set RUNNEL_SOCKET", 88) from None


class Node:
    """The local node."""

    def __init__(self, path):
        self.path = path

    def request(self, method, path, body=None):
        """Returns the answer before its content is read."""
        connection = Connection(self.path)
        try:
            connection.request(method, path, body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It has answered before it had read everything.
        answer = connection.getresponse()
        if answer.status >= 400:
            error = json.load(answer)["error"]
            raise Failure(f"{path}: {error['message']} ({error['code']})")
        return answer

    def submit(self, node, command, args, **more):
        """Stores a command and returns its id."""
        submit = {"to": node, "command": command, "args": args, **more}
        return json.load(self.request("POST", "/v1/commands", json.dumps(submit)))["id"]

    def cancel(self, command):
        try:
            self.request("POST", f"/v1/commands/{command}/cancel").read()
        except Failure:
            pass  # It has ended.

    def events(self, command):
        """Yields what happens to a command until its outcome, over restarts of the local node."""
        update, silent_since = 0, time.monotonic()
        while True:
            try:
                path = f"/v1/commands/{command}/events?follow=true&after_update={update}"
                for line in self.request("GET", path):
                    event = json.loads(line)
                    update, silent_since = event.get("update", update), time.monotonic()
                    yield event
                    if event["event"] == "outcome":
                        return
            except (NoNode, OSError, http.client.HTTPException):
                pass
            if time.monotonic() - silent_since > RECONNECT_S:
                raise NoNode(f"the local node is away; {command} may go on without it", 88)
            time.sleep(1)

    def outcome(self, command):
        """Waits for a command's outcome."""
        return next(event["outcome"] for event in self.events(command) if event["event"] == "outcome")


def check(what, outcome):
    """Fails unless a command was done."""
    kind = outcome["kind"]
    if kind != "done":
        is_cancelled = kind == "cancelled" or outcome.get("reason") == "cancelled"
        code = 85 if is_cancelled else {"rejected": 82, "unknown": 86}.get(kind, 1)
        told = [outcome[field] for field in ("reason", "message") if outcome.get(field)]
        raise Failure(f"{what}: {': '.join([kind, *told])}", code)


def upload(local, node, source, folder):
    """Sends a folder as a tar stream, which is the body of a command."""
    with tempfile.TemporaryFile() as stream:
        with tarfile.open(fileobj=stream, mode="w") as archive:
            archive.add(source, arcname=".")
        stream.seek(0)
        args = {"path": folder, "kind": "folder", "replace": True, "make_parents": True}
        put = local.submit(node, "fs.put/1", args, has_body=True)
        try:
            local.request("PUT", f"/v1/commands/{put}/body", stream).read()
        except (Failure, OSError, http.client.HTTPException):
            pass  # Its outcome says why.
        check(f"sending {source}", local.outcome(put))


def build(local, node, folder, command):
    """Runs a command in the folder and passes on what it says. Returns its exit code."""
    args = {"program": command[0], "args": command[1:], "cwd": folder}
    running = local.submit(node, "exec/1", args)
    try:
        for event in local.events(running):
            if event["event"] == "output":
                show(event)
            elif event["event"] == "gap":
                print("build.py: some of the output is not kept any more", file=sys.stderr)
            elif event["event"] == "outcome":
                outcome = event["outcome"]
    except KeyboardInterrupt:
        local.cancel(running)
        outcome = local.outcome(running)
    check(command[0], outcome)
    if outcome["signal"] is not None:
        return 128 + outcome["signal"]
    if outcome["exit_code"] is None:
        raise Failure(f"{command[0]}: it ended, and its exit code was lost", 86)
    return outcome["exit_code"]


def show(event):
    content = event["text"].encode() if "text" in event else base64.b64decode(event["base64"])
    stream = sys.stdout if event["stream"] == "stdout" else sys.stderr
    stream.buffer.write(content)
    stream.buffer.flush()


def download(local, node, path, to):
    """Brings a file or folder, compressed by the node that has it."""
    get = local.submit(node, "fs.get/1", {"path": path, "compress": "gzip"})
    found = None
    for event in local.events(get):
        if event["event"] == "found":
            found = event["found"]
            break  # It goes on once its body is taken.
        if event["event"] == "outcome":
            check(f"bringing {path}", event["outcome"])
    body = local.request("GET", f"/v1/commands/{get}/body")
    if found["kind"] == "folder":
        with tarfile.open(fileobj=body, mode="r|gz") as archive:
            archive.extractall(to, filter="data")
    else:
        with gzip.open(body) as content, open(to, "wb") as file:
            shutil.copyfileobj(content, file)
        os.chmod(to, found["mode"] & 0o777)
    body.read()
    check(f"bringing {path}", local.outcome(get))


def watch_load(local, node):
    """Starts a program that goes on until it is cancelled."""
    args = {"program": "/bin/sh", "args": ["-c", "while cat /proc/loadavg; do sleep 1; done"]}
    return local.submit(node, "exec/1", args, **{"class": "low"})


def end_load(local, load):
    """Cancels the program, and says what it saw."""
    local.cancel(load)
    said = "".join(event.get("text", "") for event in local.events(load) if event["event"] == "output")
    loads = [float(line.split()[0]) for line in said.splitlines()]
    if loads:
        print(f"build.py: load from {min(loads)} to {max(loads)}", file=sys.stderr)


def local_socket():
    """Returns where the local node listens."""
    paths = [os.environ.get("RUNNEL_SOCKET")]
    if os.geteuid() == 0:
        paths.append("/run/runnel/api.sock")
    for variable, below in (("XDG_RUNTIME_DIR", ""), ("XDG_STATE_HOME", ""), ("HOME", ".local/state")):
        if variable in os.environ:
            paths.append(os.path.join(os.environ[variable], below, "runnel/api.sock"))
    return next(path for path in paths if path)


def main(arguments):
    if len(arguments) < 4:
        raise Failure(__doc__, 2)
    node, source, result, *command = arguments
    local = Node(local_socket())
    folder = f"builds/example-{os.getpid()}"
    try:
        upload(local, node, source, folder)
        load = watch_load(local, node)
        try:
            code = build(local, node, folder, command)
        finally:
            end_load(local, load)
        if code == 0:
            download(local, node, f"{folder}/{result}", os.path.basename(result))
        return code
    finally:
        # Not waited for: the node may be away, and it is done when it is back.
        local.submit(node, "fs.remove/1", {"paths": [folder], "folders": True, "force": True})


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        print(f"build.py: {failure}", file=sys.stderr)
        sys.exit(failure.code)
    except OSError as error:
        print(f"build.py: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
