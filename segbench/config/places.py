"""Where configs are looked for: those that are shipped, then those of the person who runs it.

A person's own options lie in `./conf/GROUP/NAME.yaml` of the working directory, their studies in
`./experiments/NAME.yaml`; `--config-dir FOLDER` adds a folder that holds either.
"""

from __future__ import annotations

from pathlib import Path

from segbench.config import config_dir, studies_dir
from segbench.errors import ConfigError

_LONGEST_GROUP = 100  # no file system takes any length
_further: list[Path] = []


def search_also(folder: str | None) -> None:
    """Sets the folder of `--config-dir`; None: there is none.

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
    """The folders of the person, as far as they exist, in the order of the search."""
    shipped = {config_dir(), studies_dir()}
    found = [*_further, Path.cwd() / "conf", Path.cwd() / "experiments"]
    return [folder for folder in found if folder.is_dir() and folder.resolve() not in shipped]


def config_folders() -> list[Path]:
    """All folders in the order of the search: the first that has a file wins."""
    return [config_dir(), studies_dir(), *own_folders()]


def options_of(group: str) -> list[str]:
    """The options of a config group, wherever they lie."""
    files = (file for folder in config_folders() for file in (folder / group).glob("*.yaml"))
    return sorted({file.stem for file in files})


def is_group(key: str) -> bool:
    """Whether a key chooses an option of a config group."""
    if key.startswith("hydra/"):
        return True
    is_name = key.replace("/", "").isidentifier() and key[0] != "/" and len(key) < _LONGEST_GROUP
    return is_name and any((folder / key).is_dir() for folder in config_folders())


def hidden(name: str) -> str | None:
    """The file of a person that is never read, because segbench ships another of the same name.

    Args:
        name: of a study or, as GROUP/OPTION, of an option.
    """
    shipped = [folder / f"{name}.yaml" for folder in (config_dir(), studies_dir())]
    read = next((file for file in shipped if file.is_file()), None)
    for folder in own_folders() if read else ():
        file = folder / f"{name}.yaml"
        if read and file.is_file() and file.read_bytes() != read.read_bytes():
            return str(file)
    return None
