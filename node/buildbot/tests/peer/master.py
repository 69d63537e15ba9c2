"""Runs a master of Buildbot in a folder, with master.cfg of this folder or of another and the modules beside it.

    python master.py FOLDER [CONFIGURATION]

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
    configuration = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE
    modules = [] if configuration == HERE else configuration.glob("*.py")
    for file in [configuration / "master.cfg", *modules]:
        shutil.copyfile(file, folder / file.name)
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
