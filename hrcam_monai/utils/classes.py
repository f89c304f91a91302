"""The classes of a task, and which of them means that nothing was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

__all__ = ["Classes"]


@dataclass(frozen=True)
class Classes(Sequence[str]):
    """Names of the classes, in the order of their labels; a sequence of them.

    Attributes:
        names: of the classes.
        reference: the label that means that nothing was found, whose maps mark nothing; None where every class is a finding.

    Example:
        >>> classes = Classes(("normal", "abnormal"))
        >>> list(classes), classes.are_marked(0), classes.are_marked(1)
        (['normal', 'abnormal'], False, True)
    """

    names: tuple[str, ...]
    reference: int | None = 0

    @classmethod
    def of(cls, names: Sequence[str], first_is_finding: bool = False) -> Classes:
        """As configs tell it: names, and whether the first class is a finding like the others. Classes stay as they are.

        Example:
            >>> Classes.of(["ependymoma", "glioblastoma"], first_is_finding=True).reference is None
            True
        """
        return names if isinstance(names, Classes) else cls(tuple(names), None if first_is_finding else 0)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: Any) -> Any:
        return self.names[index]

    def are_marked(self, label: int) -> bool:
        """Whether maps of this class mark something."""
        return label != self.reference

    def label_value(self, label: int) -> int:
        """What the class is in a label map, where 0 is nothing.

        Example:
            >>> Classes(("a", "b")).label_value(1), Classes(("a", "b"), None).label_value(1)
            (1, 2)
        """
        return label if self.reference == 0 else label + 1

    @property
    def label_names(self) -> list[str]:
        """What each value of a label map means.

        Example:
            >>> Classes(("a", "b")).label_names, Classes(("a", "b"), None).label_names
            (['a', 'b'], ['', 'a', 'b'])
        """
        return ["", *self.names] if self.reference is None else list(self.names)
