"""`segbench VERB ...` or `python -m segbench VERB ...` runs a verb; without one, lists them."""

import ast
import os
import runpy
import sys
from pathlib import Path

import segbench
from segbench.config import did_you_mean


def main() -> None:
    """Runs the verb named by the first argument, with the remaining arguments."""
    files = sorted(Path(__file__).parent.glob("[a-z]*.py"))
    texts = {file.stem: file.read_text(encoding="utf-8") for file in files}
    verbs = {name: text for name, text in texts.items() if '__name__ == "__main__"' in text}
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in verbs:
        if not {"", os.getcwd()} & set(sys.path):  # started as a script, not by python -m
            sys.path.insert(0, os.getcwd())
        sys.argv[:2] = [f"segbench {verb}"]
        runpy.run_module(f"segbench.{verb}", run_name="__main__", alter_sys=True)
    elif verb == "--version":
        print(f"segbench {segbench.__version__}")
    elif verb in ("-h", "--help", "help"):
        print(f"segbench {segbench.__version__}: {(segbench.__doc__ or '').partition(': ')[2]}\n")
        print("usage: segbench COMMAND [KEY=VALUE ...]   (segbench COMMAND --help lists the keys)")
        print("       python -m segbench.COMMAND ...     does the same\n")
        for name, text in verbs.items():
            summary = (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
            print(f"  {name:12} {summary}")
    else:
        sys.exit(_refuse(verb, list(verbs)))


def _refuse(verb: str, verbs: list[str]) -> int:
    hint = did_you_mean(verb, verbs)
    print(f"segbench: error: there is no command '{verb}'{hint}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
