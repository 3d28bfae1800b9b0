"""Where configs are searched: first the shipped ones, then the user's own.

A user's own options are in `./conf/GROUP/NAME.yaml` of the working directory, their studies in
`./experiments/NAME.yaml`; `--config-dir FOLDER` adds a folder with the same layout.
"""

from __future__ import annotations

from pathlib import Path

from segbench.config import config_dir, studies_dir
from segbench.errors import ConfigError

_LONGEST_GROUP = 100  # file systems limit the length of a name
_further: list[Path] = []


def search_also(folder: str | None) -> None:
    """Sets the folder of `--config-dir`; None if there is none.

    Raises:
        ConfigError: it does not exist.
    """
    _further.clear()
    if folder is None:
        return
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise ConfigError(f"--config-dir {folder}: there is no such folder")
    _further.append(path)


def further_folder() -> Path | None:
    """The folder of `--config-dir`."""
    return _further[0] if _further else None


def own_folders() -> list[Path]:
    """The user's folders that exist, in search order."""
    shipped = {config_dir(), studies_dir()}
    found = [*_further, Path.cwd() / "conf", Path.cwd() / "experiments"]
    return [folder for folder in found if folder.is_dir() and folder.resolve() not in shipped]


def config_folders() -> list[Path]:
    """All folders in search order: the first one that has a file wins."""
    return [config_dir(), studies_dir(), *own_folders()]


def options_of(group: str) -> list[str]:
    """The options of a config group, from all folders."""
    files = (file for folder in config_folders() for file in (folder / group).glob("*.yaml"))
    return sorted({file.stem for file in files})


def complete_models() -> list[str]:
    """The options of `model` that say all that is needed to build them."""
    files = {f.stem: f for d in reversed(config_folders()) for f in (d / "model").glob("*.yaml")}
    return sorted(name for name, file in files.items() if "???" not in file.read_text("utf-8"))


def is_group(key: str) -> bool:
    """Whether a key chooses an option of a config group."""
    if key.startswith("hydra/"):
        return True
    is_name = key.replace("/", "").isidentifier() and key[0] != "/" and len(key) < _LONGEST_GROUP
    return is_name and any((folder / key).is_dir() for folder in config_folders())


def hidden(name: str) -> str | None:
    """A user's file that is never read, because segbench ships another one of the same name.

    Args:
        name: a study, or GROUP/OPTION.
    """
    shipped = [folder / f"{name}.yaml" for folder in (config_dir(), studies_dir())]
    read = next((file for file in shipped if file.is_file()), None)
    for folder in own_folders() if read else ():
        file = folder / f"{name}.yaml"
        if read and file.is_file() and file.read_bytes() != read.read_bytes():
            return str(file)
    return None
