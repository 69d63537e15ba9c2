"""Makes a virtual environment with what a file of requirements says and prints the path of its Python.

    python3 venv.py FOLDER REQUIREMENTS

The environment is a folder beside FOLDER, named after it and after the requirements; it is left alone if it is there.
Several processes may do this at once: each makes one of its own, and the first to finish gives it the name. Exits with 3
if it cannot be made here, for want of the module venv or of the package registry.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def python_of(folder: Path, requirements: Path) -> Path:
    """Returns the Python of an environment, which is made if it is not there."""
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()[:8]
    folder = folder.with_name(f"{folder.name}-{wanted}")
    if not folder.exists():
        make(folder, requirements)
    return folder / "bin" / "python"


def make(folder: Path, requirements: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
    try:
        subprocess.run([sys.executable, "-m", "venv", made], check=True, stdout=sys.stderr)
        pip = [made / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-q"]
        subprocess.run([*pip, "install", "--no-deps", "-r", requirements], check=True, stdout=sys.stderr)
        os.rename(made, folder)
    except OSError:
        if not folder.exists():  # otherwise another process was faster
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def main() -> int:
    try:
        print(python_of(Path(sys.argv[1]).absolute(), Path(sys.argv[2])))
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"there is no virtual environment: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
