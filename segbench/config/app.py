"""Runs a verb: checks the command before importing anything heavy, then reports errors."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from segbench.config import config_dir, make_folder, without_hydra
from segbench.config.help import help_of
from segbench.config.outcome import Outcome, write_outcome
from segbench.errors import ConfigError
from segbench.system.console import say, show_every_character
from segbench.system.machine import working_folder
from segbench.system.storage import output_error

if TYPE_CHECKING:
    from segbench.config.compose import Command

INTERRUPTED = 130  # the shell convention: 128 + SIGINT

Task = Callable[[DictConfig], Outcome | int | None]
AfterSweep = Callable[[DictConfig, tuple[str, ...]], int]


def run_verb(verb: str, task: Task, after_sweep: AfterSweep | None = None) -> None:
    """Runs a verb from the command line and ends the process.

    The exit code is 0 on success, 1 if the work failed, 2 if the command, its config or the data
    is wrong, 130 after Ctrl-C. An exception with an `exit_code` attribute is printed without a
    traceback.

    Args:
        verb: name of the module and of its config, `train` for `conf/train.yaml`.
        task: does the work; may return an `Outcome` or an exit code.
        after_sweep: called with the config and the keys that differ between the jobs when all jobs
            of a sweep have ended; returns an exit code.
    """
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        say(help_of(verb))
        sys.exit(0)
    from hydra._internal.utils import get_args_parser

    from segbench.config.compose import read_command, register

    module = f"segbench.{verb}"
    _set_up_messages()
    parser = get_args_parser()
    parser.error = lambda message: sys.exit(_report(module, _usage_error(message)))  # type: ignore[method-assign]
    parsed = parser.parse_intermixed_args(arguments)
    shows = parsed.hydra_help or parsed.info or parsed.cfg or parsed.shell_completion
    try:
        working_folder()  # refused if it is gone
        if shows and (parsed.multirun or parsed.run):
            raise ConfigError("--cfg and --info show a single job: leave out -m and --run")
        register(parsed.config_dir)
        command = read_command(
            parsed.config_name or verb, parsed.overrides, parsed.multirun, not shows
        )
        if not shows and command.sweeps:
            sys.exit(_sweep(module, command, parsed, after_sweep))
    except (ConfigError, OSError) as error:
        write_outcome(Outcome("failed", reason=first_line(output_error(error) or error)))
        sys.exit(_report(module, error))
    if shows:
        sys.argv[1:] = _flags(arguments, parsed.overrides) + command.arguments
        _hydra(module, lambda config: None)
        sys.exit(0)
    sys.exit(_run(module, command.config, task))


def _run(module: str, config: DictConfig, task: Task) -> int:
    """Runs one job in this process; returns the exit code."""
    from hydra.core.hydra_config import HydraConfig

    HydraConfig.instance().set_config(config)
    os.environ.update(config.hydra.job.env_set)
    own = without_hydra(config)
    try:
        if config.hydra.run.dir != ".":
            make_folder("run_dir", config.hydra.run.dir)
        outcome = task(own)
    except KeyboardInterrupt:
        say(f"{module}: interrupted; run the same command again to continue", stderr=True)
        return INTERRUPTED
    except Exception as error:
        write_outcome(Outcome("failed", reason=first_line(output_error(error) or error)))
        return _report(module, error)
    if not isinstance(outcome, Outcome):
        return outcome or 0
    write_outcome(outcome)
    return int(outcome.status == "failed")


def _sweep(
    module: str,
    command: Command,
    parsed: argparse.Namespace,
    after_sweep: AfterSweep | None,
) -> int:
    """Runs a sweep with Hydra's sweeper and launcher; returns the exit code."""
    from segbench.config.compose import for_sweeper
    from segbench.config.sweep import Sweep, SweepEndedError
    from segbench.config.tuning import is_tuning, swept_models, tune_each

    config, arguments = command.config, command.arguments
    make_folder("study", config.hydra.sweep.dir)
    flags = _flags(sys.argv[1:], parsed.overrides)
    models = swept_models(config, arguments) if is_tuning(config) else []
    if len(models) > 1:
        return tune_each(module, models, flags + arguments)
    sweep = Sweep.plan(module, config, arguments)
    sys.argv[1:] = flags + for_sweeper(str(config.hydra.job.config_name), arguments)
    logging.getLogger("optuna.storages").setLevel(logging.WARNING)
    code = 0
    try:
        _hydra(module, sweep.run_job)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SweepEndedError as ended:
        code = ended.exit_code
    finally:
        failed = sweep.end(interrupted=code > 0)
    if code:
        return code
    try:
        return max(failed, after_sweep(config, sweep.varying) if after_sweep else 0)
    except Exception as error:
        return _report(module, error)


def _set_up_messages() -> None:
    """Sends warnings to the terminal as well as to any log, without tracebacks from logging itself.

    Characters that a terminal cannot show are replaced; a log on a full disk loses lines.
    """
    show_every_character()
    logging.raiseExceptions = False
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    logging.getLogger("segbench").handlers[:] = [handler]  # one, even if verbs run repeatedly


def _hydra(module: str, task: Callable[[DictConfig], float | None]) -> None:
    """Lets Hydra read `sys.argv` for what it does itself: sweeps and showing configs."""
    import hydra

    def job(config: DictConfig) -> float | None:
        return task(config)

    job.__module__ = module  # Hydra takes the job's name from it
    verb = module.rpartition(".")[2]
    hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=verb)(job)()


def _flags(arguments: list[str], overrides: list[str]) -> list[str]:
    """The arguments that are not overrides, placed first, as argparse expects."""
    left, flags = list(overrides), []
    for argument in arguments:
        if left and argument == left[0]:
            left.pop(0)
        else:
            flags.append(argument)
    return flags


def _report(module: str, error: Exception) -> int:
    """Prints an error without a traceback; returns the exit code.

    Raises:
        Exception: `error` itself, if it is a bug and not an error that a user can fix.
    """
    reported = error if hasattr(error, "exit_code") else output_error(error)
    if reported is None:
        raise error
    say(f"{module}: error: {reported}", stderr=True)
    return int(getattr(reported, "exit_code", 1))


def _usage_error(message: str) -> ConfigError:
    return ConfigError(f"{message}; keys are written KEY=VALUE, without dashes; see --help")


def first_line(error: Exception) -> str:
    """An error in one line, for tables."""
    lines = [line.strip() for line in str(error).strip().splitlines()] or [""]
    text = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return text if hasattr(error, "exit_code") else f"{type(error).__name__}: {text}"
