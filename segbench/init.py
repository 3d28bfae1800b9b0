"""Start a project: a folder with your own data, model, loss and study that trains right away.

    segbench init demo              then: cd demo && segbench train data=mine model=mine

Writes YAML files, a small package, generated images and a README that says what to replace.
Existing files are never overwritten.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from segbench.config import make_folder
from segbench.config.app import first_line
from segbench.errors import ConfigError, OutputError
from segbench.system.console import say
from segbench.system.escaping import shell
from segbench.system.storage import output_error

TEMPLATE = Path(__file__).resolve().parent / "assets" / "project"
DATA = "data/shapes"
_NAMES = {"gitignore.txt": ".gitignore"}  # under that name, git would ignore files of segbench


def init(folder: Path) -> None:
    """Writes a project into a folder, which is created if needed.

    Raises:
        ConfigError: the folder cannot be created, or already has one of the files.
        OSError: the disk is full.
    """
    sources = [f for f in TEMPLATE.rglob("*") if f.is_file() and f.suffix not in (".pyc", ".pyo")]
    targets = {folder / _NAMES.get(f.name, f.relative_to(TEMPLATE)): f for f in sorted(sources)}
    there = [str(t.relative_to(folder)) for t in (*targets, folder / DATA) if os.path.lexists(t)]
    if there:
        raise ConfigError(
            f"{folder} already contains {', '.join(there[:4])}{', ...' if there[4:] else ''}; "
            "nothing was overwritten. Choose another folder"
        )
    make_folder("folder", folder)
    for target, source in targets.items():
        make_folder("folder", target.parent)
        target.write_bytes(source.read_bytes())
    from segbench.data.shapes import write_shapes

    write_shapes(folder / DATA)
    is_here = folder.resolve() == Path.cwd()
    change = "" if is_here else f"cd {shell([_as_argument(folder)])}\n"
    say(
        f"{folder}: a project with generated data. README.md explains what to replace. Next:\n\n"
        f"{change}segbench check_data data=mine\nsegbench train data=mine model=mine"
    )


def _as_argument(folder: Path) -> str:
    """The folder as an argument in a shell: `-x` would be a flag."""
    return f"./{folder}" if str(folder).startswith("-") else str(folder)


def main() -> int:
    """Reads the command line; returns the exit code."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        say((__doc__ or "").strip())
        return 0
    words = [word for word in words if word != "--"]
    try:
        if len(words) != 1 or not words[0] or (words[0].startswith("-") and "--" not in sys.argv):
            raise ConfigError("expected one folder: segbench init FOLDER")
        init(Path(words[0]).expanduser())
    except (ConfigError, OutputError, OSError, RuntimeError, ValueError) as error:
        told = output_error(error) or error
        text = str(told) if hasattr(told, "exit_code") else first_line(told)
        say(f"segbench.init: error: {text}", stderr=True)
        return int(getattr(told, "exit_code", 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
