"""The data types of our SQL: names that CAST takes, and their numbers in ODBC and JDBC."""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Final


class Xdbc(IntEnum):
    """Numbers of types that ODBC and JDBC share."""

    BIT = -7
    TINYINT = -6
    BIGINT = -5
    VARBINARY = -3
    DECIMAL = 3
    INTEGER = 4
    SMALLINT = 5
    REAL = 7
    DOUBLE = 8
    DATETIME = 9
    INTERVAL = 10
    VARCHAR = 12
    DATE = 91
    TIME = 92
    TIMESTAMP = 93


NULLABLE: Final = 1
SEARCHABLE_BUT_BY_LIKE: Final = 2
SEARCHABLE: Final = 3


@dataclass(frozen=True)
class TypeInfo:
    """One type; the fields are the columns of the answer.

    Attributes:
        column_size: decimal digits, bits for a radix of 2, or characters when written out.
        sql_data_type: as `data_type`, but for dates and times, which `datetime_subcode` tells apart.
    """

    type_name: str
    data_type: Xdbc
    column_size: int | None
    literal_prefix: str | None = None
    literal_suffix: str | None = None
    create_params: tuple[str, ...] | None = None
    nullable: int = NULLABLE
    case_sensitive: bool = False
    searchable: int = SEARCHABLE_BUT_BY_LIKE
    unsigned_attribute: bool | None = None
    fixed_prec_scale: bool = False
    auto_increment: bool | None = None
    local_type_name: str | None = None
    minimum_scale: int | None = None
    maximum_scale: int | None = None
    sql_data_type: Xdbc | None = None
    datetime_subcode: int | None = None
    num_prec_radix: int | None = None
    interval_precision: int | None = None

    def row(self) -> dict[str, object]:
        """Values by column."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return {**values, "sql_data_type": self.data_type if self.sql_data_type is None else self.sql_data_type}


def _integer(name: str, data_type: Xdbc, digits: int, *, unsigned: bool = False) -> TypeInfo:
    return TypeInfo(
        name,
        data_type,
        digits,
        unsigned_attribute=unsigned,
        auto_increment=False,
        minimum_scale=0,
        maximum_scale=0,
        num_prec_radix=10,
    )


def _floating(name: str, data_type: Xdbc, bits: int) -> TypeInfo:
    return TypeInfo(name, data_type, bits, unsigned_attribute=False, auto_increment=False, num_prec_radix=2)


def _time(name: str, data_type: Xdbc, characters: int, subcode: int, digits: int | None) -> TypeInfo:
    return TypeInfo(
        name,
        data_type,
        characters,
        literal_prefix=f"{name} '",
        literal_suffix="'",
        minimum_scale=digits,
        maximum_scale=digits,
        sql_data_type=Xdbc.DATETIME,
        datetime_subcode=subcode,
    )


TYPES: Final = tuple(
    sorted(
        [
            TypeInfo("BOOLEAN", Xdbc.BIT, 1),
            _integer("TINYINT", Xdbc.TINYINT, 3),
            _integer("SMALLINT", Xdbc.SMALLINT, 5),
            _integer("INTEGER", Xdbc.INTEGER, 10),
            _integer("BIGINT", Xdbc.BIGINT, 19),
            _integer("TINYINT UNSIGNED", Xdbc.TINYINT, 3, unsigned=True),
            _integer("SMALLINT UNSIGNED", Xdbc.SMALLINT, 5, unsigned=True),
            _integer("INTEGER UNSIGNED", Xdbc.INTEGER, 10, unsigned=True),
            _integer("BIGINT UNSIGNED", Xdbc.BIGINT, 20, unsigned=True),
            _floating("REAL", Xdbc.REAL, 24),
            _floating("DOUBLE", Xdbc.DOUBLE, 53),
            TypeInfo(
                "DECIMAL",
                Xdbc.DECIMAL,
                76,
                create_params=("precision", "scale"),
                unsigned_attribute=False,
                auto_increment=False,
                minimum_scale=0,
                maximum_scale=76,
                num_prec_radix=10,
            ),
            TypeInfo("VARCHAR", Xdbc.VARCHAR, None, "'", "'", case_sensitive=True, searchable=SEARCHABLE),
            TypeInfo("BYTEA", Xdbc.VARBINARY, None, "X'", "'"),
            _time("DATE", Xdbc.DATE, len("2026-01-01"), 1, None),
            _time("TIME", Xdbc.TIME, len("10:00:00.123456789"), 2, 9),
            _time("TIMESTAMP", Xdbc.TIMESTAMP, len("2026-01-01 10:00:00.123456789"), 3, 9),
            TypeInfo("INTERVAL", Xdbc.INTERVAL, None, "INTERVAL '", "'"),
        ],
        key=lambda info: (info.data_type, info.type_name),
    )
)
