"""`python -m segbench` lists the verbs."""

import ast
from pathlib import Path

import segbench


def main() -> None:
    """Prints each verb with the first line of its docstring."""
    print(f"segbench {segbench.__version__}: {(segbench.__doc__ or '').partition(': ')[2]}\n")
    print("usage: python -m segbench.VERB [KEY=VALUE ...]      (--help lists the keys)\n")
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        source = file.read_text(encoding="utf-8")
        if "run_verb(" in source:  # the others are what the verbs share
            summary = (ast.get_docstring(ast.parse(source)) or "").split("\n")
            print(f"  {file.stem:12} {summary[0]}")


if __name__ == "__main__":
    main()
