"""Labels from tables beside the crystals': joined by id, column by column, in an order of precedence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from materium.data.inputs import short_names
from materium.data.readers import records
from materium.data.records import id_column, properties_of
from materium.errors import DataError
from materium.properties import scalar_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from materium.data.records import Row


@dataclass(frozen=True)
class LabelSources:
    """Where labels come from, besides the column of the same name in the table of the crystals.

    Parameters
    ----------
    tables
        Parquet or CSV tables with a column of ids and no structures.
    columns
        For a property the columns that its label is taken from, the first with a value; they stand in the table of the
        crystals or in one of `tables`. By default it is the property's own column.
    """

    tables: tuple[Path, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a property that is no single number."""
        for name in self.columns:
            if name not in scalar_names():
                raise DataError(f"no label is called {name!r}; choose from {', '.join(scalar_names())}")


class SideLabels:
    """The labels of `LabelSources`, and how many of them were of use.

    Of one column the table of the crystals comes first, then the side tables in their order.
    """

    def __init__(self, sources: LabelSources) -> None:
        """Read the side tables.

        Raises
        ------
        DataError
            If one cannot be read, has no column of ids or an id twice, or no table of them has a column that is named.
        """
        self.columns = {name: sources.columns.get(name, (name,)) for name in scalar_names() if name != "num_sites"}
        self.named = frozenset(sources.columns)
        self.tables = dict(zip(short_names(sources.tables), map(_read, sources.tables), strict=True))
        self.used = Counter[tuple[str, str, str]]()
        self.matched: dict[str, set[str]] = {name: set() for name in self.tables}

    def apply(self, row: Row) -> Row:
        """Return a row with its labels, and count where they came from.

        A label that another column gave than the property's own in the row has the column's name in `NAME_source`.
        """
        if not self.tables and not self.named:
            return row
        beside = {name: table[row.id] for name, table in self.tables.items() if row.id in table}
        for name in beside:
            self.matched[name].add(row.id)
        places = {"": row.properties, **beside}
        properties = {name: value for name, value in row.properties.items() if name not in self.named}
        for label, columns in self.columns.items():
            found = ((c, place) for c in columns for place, values in places.items() if _is_number(values.get(c)))
            column, place = next(found, ("", ""))
            if column:
                properties[label] = places[place][column]
                if place or column != label:
                    properties[f"{label}_source"] = column
                self.used[label, column, place] += bool(place or label in self.named)
        return replace(row, properties=properties)

    def facts(self) -> dict[str, Any]:
        """Return what came of the side tables and of the columns that were named, as JSON types."""
        tables = {name: {"rows": len(table), "matched": len(self.matched[name])} for name, table in self.tables.items()}
        used = {key: rows for key, rows in self.used.items() if rows}
        unused = {(label, column) for label in self.named for column in self.columns[label]} - {key[:2] for key in used}
        used |= {(label, column, ""): 0 for label, column in unused}
        columns = [
            dict(zip(("label", "column", "table", "rows"), (*key, used[key]), strict=True)) for key in sorted(used)
        ]
        return {"tables": tables, "columns": columns}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _read(path: Path) -> dict[str, dict[str, float]]:
    """Numbers by id: under their columns' names, and those of properties that we know under ours, too."""
    table: dict[str, dict[str, float]] = {}
    for record in records(path):
        column = id_column(record)
        if not column:
            raise DataError(f"{path} has no column of ids, such as id or material_id; labels are joined by it")
        name = str(record[column])
        if name in table:
            raise DataError(f"{path} has the id {name} twice; leave one of the rows out")
        known, _ = properties_of(record)
        values = {**record, **known}
        table[name] = {key: float(value) for key, value in values.items() if key != column and _is_number(value)}
    if not table:
        raise DataError(f"{path} has no rows; give a table of labels")
    return table
