"""Writes msgpack.txt of this folder, as Python's msgpack says it in the way of Buildbot. Run it with any Python 3:

    python3 node/buildbot/vectors/make_msgpack.py

It makes a virtual environment below target/ for itself. Lines are a name and bytes. Names that begin with "master." and
"worker." are messages of that side.
"""

import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "peer"))
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[2] / "target"))

try:
    import msgpack
except ImportError:
    import venv as msgpack_venv

    requirements = HERE.parent / "tests" / "peer" / "msgpack.txt"
    python = str(msgpack_venv.python_of(TARGET / "tmp" / "msgpack", requirements))
    os.execv(python, [python, *sys.argv])

INTS = [0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
NEGATIVE = [-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)]

VALUES = {
    "none": None,
    "true": True,
    "false": False,
    **{f"int.{number}": number for number in INTS + NEGATIVE},
    "float": 1.5,
    "float.negative": -0.1,
    "float.infinite": float("inf"),
    **{f"text.{len(text)}": text for text in ["", "hä€", "x" * 31, "x" * 32, "x" * 255, "x" * 256]},
    **{f"bytes.{len(octets)}": octets for octets in [b"", b"\0\xff", bytes(range(256))]},
    **{f"list.{count}": list(range(count)) for count in [0, 15, 16]},
    **{f"dict.{count}": {str(key): key for key in range(count)} for count in [0, 15, 16]},
    "nested": [{"a": [1, {"b": None}]}, (2, "3")],
}

SETTINGS = {
    "buffer_size": 65536,
    "buffer_timeout": 5,
    "newline_re": r"(\r\n|\r(?=.)|\033\[u|\033\[[0-9]+;[0-9]+[Hf]|\033\[2J|\x08+)",
    "max_line_length": 4096,
}

SHELL = {
    "workdir": "/srv/w/b/build",
    "command": ["say", ("obfuscated", "hunter2", "XXXX"), "ä"],
    "env": {"LANG": "C", "PATH": ["/opt/bin", "${PATH}"], "DISPLAY": None},
    "want_stdout": 1,
    "want_stderr": 1,
    "logfiles": {"test": {"filename": "test.log", "follow": True}},
    "timeout": 1200,
    "maxTime": None,
    "sigtermTime": None,
    "usePTY": False,
    "logEnviron": True,
    "initial_stdin": "pätch",
    "interruptSignal": "KILL",
}


def start(name, args, **more):
    return {"op": "start_command", "command_id": "7", "command_name": name, "args": args, **more}


MASTER = {
    "print": {"op": "print", "message": "attached"},
    "info": {"op": "get_worker_info"},
    "settings": {"op": "set_worker_settings", "args": SETTINGS},
    "shell": start("shell", SHELL, builder_name="b"),
    "list": start("listdir", {"path": "/srv/w"}),
    "upload": start("upload_file", {"path": "/srv/w/b/build/a", "maxsize": None, "blocksize": 262144, "keepstamp": True}),
    "interrupt": {"op": "interrupt_command", "builder_name": "b", "command_id": "7", "why": "enough"},
    "keepalive": {"op": "keepalive"},
    "shutdown": {"op": "shutdown"},
    "unknown": {"op": "dance"},
    "answer": {"op": "response", "result": None},
    "exception": {"op": "response", "result": "no space left", "is_exception": True},
}

SAID = [["stdout", ["häß\nb\n", [3, 5], [1.5, 1.5]]], ["log", ["test", ["l\n", [1], [1.5]]]], ["rc", 0], ["elapsed", 1.5]]

WORKER = {
    "update": {"command_id": "7", "args": SAID, "op": "update"},
    "complete": {"command_id": "7", "args": None, "op": "complete"},
    "failed": {"command_id": "7", "args": "builtins.OSError: disk full", "op": "complete"},
    "write": {"command_id": "7", "args": b"block", "op": "update_upload_file_write"},
    "close": {"command_id": "7", "op": "update_upload_file_close"},
    "times": {"command_id": "7", "access_time": 1.5, "modified_time": 2.5, "op": "update_upload_file_utime"},
    "result": {"result": None, "op": "response"},
    "raised": {"result": "there is no method dance", "is_exception": True, "op": "response"},
}


def lines():
    pack = msgpack.Packer(use_bin_type=True).pack
    for name, value in VALUES.items():
        yield f"{name} {pack(value).hex()}"
    for side, messages in (("master", MASTER), ("worker", WORKER)):
        for name, message in messages.items():
            yield f"{side}.{name} {pack({**message, 'seq_number': 0}).hex()}"


def main():
    (HERE / "msgpack.txt").write_text("".join(f"{line}\n" for line in lines()))


if __name__ == "__main__":
    main()
