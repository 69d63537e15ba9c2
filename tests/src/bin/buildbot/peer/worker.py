"""Runs the reference worker of Buildbot in a folder.

    python worker.py FOLDER HOST PORT

It ends when its standard input does.
"""

import os
import sys
from pathlib import Path

TAC = """
import sys
import threading

from buildbot_worker.bot import Worker
from twisted.application import service
from twisted.internet import reactor

application = service.Application("worker")
Worker({host!r}, {port}, "worker1", "secret", {folder!r}, 600).setServiceParent(application)


def wait_for_end():
    sys.stdin.read()
    reactor.callFromThread(reactor.stop)


threading.Thread(target=wait_for_end, daemon=True).start()
"""


def main():
    folder = Path(sys.argv[1]).resolve()
    (folder / "info").mkdir(parents=True)
    (folder / "buildbot.tac").write_text(TAC.format(host=sys.argv[2], port=int(sys.argv[3]), folder=str(folder)))
    os.chdir(folder)
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
    os.execv(twistd[0], [*twistd, "--nodaemon", "--no_save", "--logfile=-", "--python=buildbot.tac"])


if __name__ == "__main__":
    main()
