"""The caller of a call, and what it may do."""

from dataclasses import dataclass
from enum import StrEnum

from udtf.errors import PermissionDenied


class Role(StrEnum):
    """What a token is good for. An administrator may do everything; the other two do not include each other, so that
    a program that sends its telemetry cannot read that of others."""

    READER = "reader"
    WRITER = "writer"
    ADMIN = "admin"


@dataclass(frozen=True)
class Principal:
    """The caller of a call.

    Attributes:
        name: of the token; empty where none is asked for.
        visible_processes: ids of the processes that there are for this caller; None is all of them.
    """

    name: str
    roles: frozenset[Role]
    visible_processes: frozenset[str] | None = None

    def may(self, role: Role) -> bool:
        """Whether the caller may do what a role may."""
        return role in self.roles or Role.ADMIN in self.roles

    def require(self, role: Role, what: str) -> None:
        """Raise PermissionDenied unless the caller may do `what`, which a role may."""
        if not self.may(role):
            raise PermissionDenied(
                f"{what} takes a token with the role {role}, given: one with {', '.join(sorted(self.roles))}"
            )


ANYBODY = Principal("", frozenset({Role.ADMIN}))
"""Every caller, where no tokens are asked for."""
