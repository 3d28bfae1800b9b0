"""What `--help` prints: read only from the verb's YAML, so that it is fast."""

from __future__ import annotations

import yaml

from segbench.config import config_dir
from segbench.config.places import options_of


def help_of(verb: str) -> str:
    """The help text of a verb: usage, config groups with their options, common keys."""
    text = (config_dir() / f"{verb}.yaml").read_text(encoding="utf-8")
    own = yaml.safe_load(text)["hydra"]["help"]
    groups = "\n".join(f"{group}: {', '.join(options_of(group))}" for group in groups_of(verb))
    page = own["template"].replace("${hydra.help.header}", own["header"])
    return page.replace("$APP_CONFIG_GROUPS", groups).rstrip() + _FOOTER


def groups_of(verb: str) -> list[str]:
    """The config groups in the defaults list of a verb."""
    text = (config_dir() / f"{verb}.yaml").read_text(encoding="utf-8")
    entries = [entry for entry in yaml.safe_load(text)["defaults"] if isinstance(entry, dict)]
    return [key for entry in entries for key in entry if not key.startswith("override ")]


_FOOTER = """
== Also ==
  --cfg job                         print every key with its value and exit; what it means:
                                    https://github.com/segbench/segbench/blob/main/docs/config.md
  --config-dir FOLDER               search FOLDER/GROUP/NAME.yaml for your own options, in addition
                                    to ./conf
Text is taken literally (study=2024_05_01, 'source=photo (1).jpg'); null means no value.
"""
