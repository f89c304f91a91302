"""Find a bundle's configs and lay them over each other, as `monai.bundle run --config_file "[...]"` does."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

__all__ = ["bundle_parser", "find_config", "read_settings"]


def find_config(bundle_root: Path, name: str | Path) -> Path:
    """A config by its name among the bundle's (`train`, `tasks/glioma_flair`), or by its path.

    Raises:
        FileNotFoundError: neither.

    Example:
        >>> find_config(Path("bundle"), "pictures")  # doctest: +SKIP
        PosixPath('bundle/configs/pictures.json')
    """
    for path in (bundle_root / "configs" / f"{name}.json", Path(name)):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{name}: no such config; give --bundle-root, or the name or path of a config.")


def bundle_parser(bundle_root: Path, overlays: Sequence[str] = (), workflow: str = "evaluate", **options: Any) -> ConfigParser:
    """A workflow's config with overlays and options.

    Args:
        bundle_root: the bundle.
        overlays: names or paths, each laid over the ones before.
        workflow: train, evaluate or inference.
        options: values of single keys.

    Raises:
        FileNotFoundError: no such config.
    """
    parser = ConfigParser()
    parser.read_config([find_config(bundle_root, name) for name in (workflow, *overlays)])
    parser["bundle_root"] = str(bundle_root)
    for key, value in options.items():
        parser[key] = value
    return parser


def read_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` as on a command line; values as Python or JSON writes them, anything else is text.

    Raises:
        ValueError: not of that form.

    Example:
        >>> read_settings(["num_workers=0", "flip_axes=[1]", "group_key=grade"])
        {'num_workers': 0, 'flip_axes': [1], 'group_key': 'grade'}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.removeprefix("--").partition("=")
        if not key or not equals:
            raise ValueError(f"--set '{pair}': write it as key=value, such as --set epochs=10.")
        found[key.replace("-", "_")] = _value(text)  # as the bundle's own options may be written
    return found


def _value(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text
