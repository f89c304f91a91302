"""What `python -m monai.bundle run` lacks at a terminal: it takes a misspelt option without a word, and buries errors."""

from __future__ import annotations

import ast
import difflib
import inspect
import logging
import os
import re
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

from monai.bundle import ConfigParser, run
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS

from hrcam_monai.data.failures import bottom, reason
from hrcam_monai.data.links import FOLLOW

__all__ = ["LIFELINE", "begin", "config_files", "end_with_reason", "options", "refuse_numbers", "refuse_unknown"]

DEBUG = "debug"  # the option that brings tracebacks
LINKS = "follow_links"  # the option that allows links out of the data folder
PATHS = re.compile(r"\w+_(dir|root|masks|weights)|checkpoint|weights")  # options that name a file or folder
LIFELINE = "HRCAM_LIFELINE"  # variable that says that this process ends when its standard input does
TOLD = (ValueError, OSError, RuntimeError, ImportError)  # what bad input, a missing file or package, or too little memory raise


def begin(argv: Sequence[str]) -> None:
    """See that the options of a run are known, and let its errors end with what is wrong, in one line.

    A workflow that other code makes, a server's or a notebook's, is left alone.

    Args:
        argv: as `sys.argv`.

    Raises:
        ValueError: an option that nothing reads, or a path that MONAI takes for a number.

    Example:
        >>> begin(["server.py", "--port", "80"])
    """
    if argv[1:2] == ["run"]:
        if os.environ.pop(LIFELINE, None):
            threading.Thread(target=_end_with_input, daemon=True).start()
        sys.excepthook = partial(end_with_reason, debug=_is_on(argv, DEBUG))
        if not _is_on(argv, DEBUG):
            logging.getLogger("ignite").setLevel(logging.WARNING)  # three lines of when engines begin and end, for one that tells
        refuse_unknown(argv)
        refuse_numbers(argv)
        if _is_on(argv, LINKS):
            os.environ[FOLLOW] = "1"


def _is_on(argv: Sequence[str], option: str) -> bool:
    return options(argv).get(option, "False").lower() not in ("false", "0")


def _end_with_input() -> None:
    """Wait until the process at the other end of standard input is gone, and end with it: no one is left to use the result."""
    while os.read(0, 1):  # not through sys.stdin, which the interpreter wants for itself at its end
        pass
    os._exit(1)


def end_with_reason(kind: type[BaseException], error: BaseException, trace: TracebackType | None, debug: bool = False) -> None:
    """An exception hook: the message of the exception at the bottom, in one line.

    The traceback comes before it with `debug`, and where the exception is of a kind that input does not cause: a fault of ours.
    """
    if debug or not isinstance(bottom(error), TOLD):
        sys.__excepthook__(kind, error, trace)
    if isinstance(error, Exception):
        print(f"error: {reason(error)}", file=sys.stderr)


def refuse_unknown(argv: Sequence[str]) -> None:
    """See that each option is a key at the top of the configurations, or one of MONAI's own.

    Raises:
        ValueError: one is not; the message names the nearest that is.
    """
    given = options(argv)
    files = [f for name in ("config_file", "meta_file") for f in config_files(given.get(name, ""))]
    known = set(ConfigParser.load_config_files(files)) if files else set()
    known |= {DEBUG, LINKS, *inspect.signature(run).parameters}
    if "tracking" in given:
        known |= {key for settings in DEFAULT_EXP_MGMT_SETTINGS.values() for key in settings["configs"]}  # type: ignore[attr-defined]
    for option in given:
        key = re.split("::|#", option)[0]
        if files and key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean --{near[0]}?" if near else "the keys at the top of the configuration are the options."
            raise ValueError(f"--{option}: no such option of {' and '.join(Path(f).name for f in files)}; {hint}")


def refuse_numbers(argv: Sequence[str]) -> None:
    """See that no path is one that Fire makes a number of: a folder `2024`, or `2024_01`, which would be 202401.

    Raises:
        ValueError: one is.
    """
    for option, value in options(argv).items():
        try:
            number = isinstance(ast.literal_eval(value), int | float)
        except (ValueError, SyntaxError):
            continue
        if number and PATHS.fullmatch(option):
            raise ValueError(f"--{option} {value}: is taken for a number, not for a path; write ./{value}")


def options(argv: Sequence[str]) -> dict[str, str]:
    """`--name value` and `--name=value` of a command line; names with underscores, as Fire reads them.

    Example:
        >>> options(["prog", "run", "--base-lr", "0.1", "--seed=3"])
        {'base_lr': '0.1', 'seed': '3'}
    """
    found: dict[str, str] = {}
    for position, word in enumerate(argv):
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            found[name.replace("-", "_")] = value if equals else "".join(argv[position + 1 : position + 2])
    return found


def config_files(value: str) -> list[str]:
    """The files of a `--config_file` value: a path, or a list of paths.

    Example:
        >>> config_files("['a.json','b.json']")
        ['a.json', 'b.json']
    """
    try:
        listed = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        listed = value
    return [str(f) for f in listed] if isinstance(listed, list | tuple) else [str(listed)] if listed else []
