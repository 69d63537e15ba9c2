"""The builders: their steps, by name. What has to come of each step is said in the program that runs the master."""

import json
import os
from pathlib import Path

from buildbot.plugins import steps, util
from buildbot.process import buildstep, remotecommand
from buildbot.process.results import FAILURE, SUCCESS

from orders import StopAtOutput, TellLines

# A step that fails holds up none of those behind it.
GO_ON = {"haltOnFailure": False, "flunkOnFailure": False}


def step(kind, name, *args, **kwargs):
    return kind(*args, name=name, **GO_ON, **kwargs)


def run(name, command, **kwargs):
    return step(steps.ShellCommand, name, command=command, **kwargs)


def here(name):
    return str(Path(name).resolve())


class Observed(steps.ShellCommand):
    """A command whose output is observed line by line."""

    def __init__(self, observer, **kwargs):
        super().__init__(**kwargs)
        self.addLogObserver("stdio", observer())


class Secret(buildstep.BuildStep):
    """Runs a program with a secret argument, as steps for version control do."""

    async def run(self):
        script = 'printf %s "$1" | tr a-z b-za'
        command = ["sh", "-c", script, "sh", ("obfuscated", "hunter2", "XXXX")]
        command = remotecommand.RemoteShellCommand("build", command)
        command.useLog(await self.addLog("stdio"))
        await self.runCommand(command)
        return command.results()


class Remote(buildstep.BuildStep):
    """Has the worker do a command that no step of Buildbot's does by itself, and logs its answer."""

    def __init__(self, command, args, **kwargs):
        super().__init__(**kwargs)
        self.command = command
        self.args = args

    async def run(self):
        command = remotecommand.RemoteCommand(self.command, self.args)
        command.useLog(await self.addLog("stdio"))
        await self.runCommand(command)
        answer = {"rc": command.rc}
        for files in command.updates.get("files", []):
            # Of a path, what follows the builder's folder.
            answer["files"] = sorted(path.split("/files/")[-1] for path in files)
        await self.addCompleteLog("answer", json.dumps(answer))
        return FAILURE if command.didFail() else SUCCESS


def builders():
    named = {
        "shell": shell(),
        "limits": limits(),
        "log": [run("20 MB", LOG)],
        "log files": log_files(),
        "files": files(),
        "uploads": uploads(),
        "downloads": downloads(),
        "properties": properties(),
        "git": git(),
        "bad archive": bad_archive(),
        "interrupt": [step(Observed, "wait", observer=StopAtOutput, command="echo pid $$; sleep 600")],
        "meet 1": [run("meet", MEET.format(mine=1, other=2), timeout=60)],
        "meet 2": [run("meet", MEET.format(mine=2, other=1), timeout=60)],
        **lines(),
        **measured(),
    }
    if Path("added").exists():
        named["added"] = [run("say", "echo added")]
    return {name.replace(" ", "-"): of for name, of in named.items()}


def shell():
    lists = {"LISTED": ["/a", "/b"], "TAKEN": "<${MARK}>", "PATH": ["/first", "${PATH}"]}
    return [
        run("say", "echo out; echo err >&2"),
        run("words", ["printf", "%s\\n", "a b", "ä"]),
        run("fail", "exit 3"),
        run("killed", "kill -TERM $$"),
        run("no program", ["/no/such/program"]),
        run("folder", "pwd", workdir="build/made/here"),
        run("env", 'echo "$LISTED $TAKEN"; echo "$PATH" | grep -q "^/first:/.*" && echo first', env=lists),
        run("env removed", 'echo "${MARK-gone}"', env={"MARK": None}),
        run("stdin", "cat", initialStdin="pätch\n"),
        run("no stdin", "cat"),
        run("terminal", "test -t 1 && echo a terminal", usePTY=True),
        run("split character", "printf '\\303'; sleep 0.5; printf '\\244\\n'"),
        run("bad character", "printf 'a\\377b\\n'"),
        run("long line", "head -c 20000 /dev/zero | tr '\\0' x; echo"),
        run("no newline", "printf 'the end'"),
        step(Secret, "secret"),
    ]


def limits():
    children = 'sh -c \'echo pid $$; exec sleep 600\' & echo pid $$; wait'
    # The shell would say that its child was killed, to nobody, and die of that.
    signalled = "exec 2>/dev/null; trap 'touch signalled; exit 5' USR1; echo pid $$; while :; do sleep 0.1; done"
    terminated = "trap 'echo ended well; exit 7' TERM; echo pid $$; while :; do sleep 0.1; done"
    stubborn = "trap '' TERM; echo pid $$; while :; do sleep 0.1; done"
    return [
        run("timeout", children, timeout=2),
        run("timeout of output", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done", timeout=2),
        run("max time", "echo pid $$; while :; do echo x; sleep 0.1; done", maxTime=2),
        run("max lines", "echo pid $$; while :; do echo x; sleep 0.05; done", max_lines=10),
        run("signal", signalled, maxTime=1, interruptSignal="USR1"),
        step(steps.FileExists, "signalled", "build/signalled"),
        run("terminate", terminated, maxTime=1, sigtermTime=20),
        run("kill", stubborn, maxTime=1, sigtermTime=1),
    ]


# 200,000 lines of 100 characters.
LOG = """awk 'BEGIN { for (i = 0; i < 200000; i++) printf "%099d\\n", i }'"""


def log_files():
    return [
        run("whole", "echo one > a.log; sleep 3; echo two >> a.log", logfiles={"test": "a.log"}),
        run("prepare", "echo old > b.log"),
        # What is added before the worker looks for the first time may be taken for what was there.
        run(
            "follow",
            "sleep 3; echo first >> b.log; sleep 3; echo second >> b.log; sleep 3",
            logfiles={"test": {"filename": "b.log", "follow": True}},
        ),
    ]


def files():
    fill = """
        echo a > a.txt; mkdir -p deep/er; echo b > deep/er/b.txt; echo c > .hidden.txt; ln -s a.txt link.txt
        ln -s gone broken.txt; chmod 640 a.txt
    """
    return [
        step(steps.MakeDirectory, "make", dir="build/new/folder"),
        step(steps.MakeDirectory, "make again", dir="build/new/folder"),
        run("fill", fill, workdir="build/new/folder"),
        step(steps.FileExists, "exists", file="build/new/folder/a.txt"),
        step(steps.FileExists, "missing", file="build/new/missing"),
        step(Remote, "list", "listdir", {"dir": "build/new/folder"}),
        step(Remote, "list missing", "listdir", {"dir": "build/missing"}),
        step(Remote, "glob", "glob", {"path": "build/new/folder/*.txt"}),
        step(Remote, "glob below", "glob", {"path": "build/new/**/[ab].txt"}),
        step(Remote, "glob nothing", "glob", {"path": "build/new/*.none"}),
        step(steps.CopyDirectory, "copy", src="build/new", dest="build/copies/copy"),
        run("compare", "diff -r --no-dereference new copies/copy && ls -l copies/copy/folder | cut -c1-10"),
        step(Remote, "remove file", "rmfile", {"path": "build/new/folder/a.txt"}),
        step(Remote, "remove missing", "rmfile", {"path": "build/new/folder/a.txt"}),
        step(Remote, "remove folder", "rmfile", {"path": "build/new/folder"}),
        run("protect", "chmod 0 new/folder/deep"),
        step(steps.RemoveDirectory, "remove", dir="build/new"),
        step(steps.RemoveDirectory, "remove again", dir="build/new"),
        step(steps.FileExists, "removed", file="build/new"),
    ]


def uploads():
    fill = """
        seq 1 400000 > data; touch -d @1700000000 data; echo one > 1.txt; echo two > 2.txt; echo three > 3.log
        mkdir -p tree/deep; seq 1 50000 > tree/deep/data; ln -s deep/data tree/link
    """

    def upload(name, source, **kwargs):
        return step(steps.FileUpload, name, workersrc=source, masterdest=here(f"uploaded/{name}"), **kwargs)

    def folder(compress):
        name = f"folder {compress}"
        return step(
            steps.DirectoryUpload, name, workersrc="tree", masterdest=here(f"uploaded/{name}"), compress=compress
        )

    return [
        run("fill", fill),
        upload("file", "data", keepstamp=True),
        upload("small blocks", "data", blocksize=65536, mode=0o600),
        upload("too long", "data", maxsize=100_000),
        upload("none", "missing"),
        folder(None),
        folder("gz"),
        folder("bz2"),
        step(
            steps.MultipleFileUpload,
            "several",
            workersrcs=["*.txt", "tree"],
            masterdest=here("uploaded/several"),
            glob=True,
        ),
    ]


def downloads():
    def download(name, target, **kwargs):
        return step(steps.FileDownload, name, mastersrc=here("source"), workerdest=target, **kwargs)

    return [
        download("file", "made/source", mode=0o750),
        download("long blocks", "blocks", blocksize=400_000),
        download("too long", "short", maxsize=100_000),
        run("make", "mkdir -p folder"),
        download("no file", "folder"),
        step(steps.StringDownload, "string", "häß\n" * 20_000, workerdest="string", mode=0o640),
        step(steps.JSONStringDownload, "json", {"ä": [1, None]}, workerdest="json"),
        step(steps.JSONPropertiesDownload, "properties", workerdest="properties"),
        run("modes", "stat -c %a made/source string"),
    ]


def properties():
    return [
        step(steps.SetPropertyFromCommand, "set", command="echo häß", property="found"),
        run("use", ["echo", util.Interpolate("<%(prop:found)s>")]),
    ]


def git():
    def clone(name, **kwargs):
        return step(steps.Git, name, repourl=os.environ["REPOSITORY"], mode="full", **kwargs)

    return [
        clone("clobber", method="clobber"),
        clone("fresh", method="fresh"),
        clone("copy", method="copy", workdir="copied"),
    ]


def bad_archive():
    """The master unpacks no link that leaves its folder."""
    target = here("uploaded/bad")
    return [
        run("fill", "mkdir -p tree; ln -sf /etc/passwd tree/link"),
        step(steps.DirectoryUpload, "upload", workersrc="tree", masterdest=target),
    ]


MEET = "touch ../../meet-{mine}; until [ -e ../../meet-{other} ]; do sleep 0.1; done; echo met"


def lines():
    """Builders that say ten lines in a second."""
    command = 'echo "pid $$"; i=0; while [ $i -lt {} ]; do i=$((i+1)); echo "line $i"; sleep 0.1; done'
    return {
        f"lines {seconds}": [step(Observed, "lines", observer=TellLines, command=command.format(seconds * 10))]
        for seconds in (20, 80)
    }


CLOCK = "for i in $(seq 100); do date +%s.%N; sleep 0.03; done; for i in $(seq 100); do date +%s.%N; sleep 0.15; done"


def measured():
    """Builders whose steps are timed."""
    fifty = "head -c 50000000 /dev/urandom > data"
    # A megabyte a second, in lines of 100 characters.
    chatter = """awk 'BEGIN { for (;;) { for (i = 0; i < 1000; i++) printf "%099d\\n", i; fflush(); system("sleep 0.1") } }'"""
    return {
        "measured upload": [
            run("fill", fifty),
            step(steps.FileUpload, "upload", workersrc="data", masterdest=here("uploaded/measured")),
        ],
        "measured download": [
            step(steps.FileDownload, "download", mastersrc=here("measured"), workerdest="measured"),
        ],
        "long upload": [
            run("fill", "head -c 100000000 /dev/urandom > data"),
            step(steps.FileUpload, "long upload", workersrc="data", masterdest=here("uploaded/long")),
        ],
        "waiting": [step(Observed, "wait", observer=TellLines, command="echo pid $$; exec sleep 600")],
        # Lines alone, and several in a row.
        "clock": [step(Observed, "clock", observer=TellLines, command=CLOCK)],
        "chatty": [run("chatter", chatter, timeout=None)],
        "tiny": [run("tiny", "true")],
    }
