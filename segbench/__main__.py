"""`segbench VERB ...` or `python -m segbench VERB ...` runs a verb; without one, lists them."""

import ast
import runpy
import sys
from pathlib import Path

import segbench
from segbench.config import did_you_mean
from segbench.errors import ConfigError
from segbench.system.console import say
from segbench.system.machine import working_folder


def main() -> None:
    """Runs the verb named by the first argument, with the remaining arguments."""
    files = sorted(Path(__file__).parent.glob("[a-z]*.py"))
    texts = {file.stem: file.read_text(encoding="utf-8") for file in files}
    verbs = {name: text for name, text in texts.items() if '__name__ == "__main__"' in text}
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in verbs:
        try:
            here = working_folder()
        except ConfigError as error:
            say(f"segbench: error: {error}", stderr=True)
            sys.exit(error.exit_code)
        if not {"", here} & set(sys.path):  # started as a script, not by python -m
            sys.path.insert(0, here)
        sys.argv[:2] = [f"segbench {verb}"]
        runpy.run_module(f"segbench.{verb}", run_name="__main__", alter_sys=True)
    elif verb == "--version":
        say(f"segbench {segbench.__version__}")
    elif verb in ("-h", "--help", "help"):
        say(f"segbench {segbench.__version__}: {(segbench.__doc__ or '').partition(': ')[2]}\n")
        say("usage: segbench COMMAND [KEY=VALUE ...]   (segbench COMMAND --help lists the keys)")
        say("       python -m segbench.COMMAND ...     does the same\n")
        for name, text in verbs.items():
            summary = (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
            say(f"  {name:12} {summary}")
    else:
        sys.exit(_refuse(verb, list(verbs)))


def _refuse(verb: str, verbs: list[str]) -> int:
    hint = did_you_mean(verb, verbs)
    say(f"segbench: error: there is no command '{verb}'{hint}", stderr=True)
    return 2


if __name__ == "__main__":
    main()
