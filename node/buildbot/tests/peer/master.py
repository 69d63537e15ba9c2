"""Runs a master of Buildbot in a folder, with master.cfg of this folder.

    python master.py FOLDER

It says what twistd says on standard output, and ends when its standard input does.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

TAC = """
from buildbot.master import BuildMaster
from twisted.application import service

application = service.Application("buildmaster")
BuildMaster({folder!r}, "master.cfg").setServiceParent(application)
"""


def main():
    folder = Path(sys.argv[1]).resolve()
    shutil.copyfile(HERE / "master.cfg", folder / "master.cfg")
    create = [*program("buildbot.scripts.runner"), "create-master", "--quiet", folder]
    subprocess.run(create, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    (folder / "buildbot.tac").write_text(TAC.format(folder=str(folder)))
    os.chdir(folder)
    twistd = program("twisted.scripts.twistd")
    os.execv(twistd[0], [*twistd, "--nodaemon", "--no_save", "--logfile=-", "--python=buildbot.tac"])


def program(module):
    """The command line of a program that is a function of a module."""
    return [sys.executable, "-c", f"from {module} import run; run()"]


if __name__ == "__main__":
    main()
