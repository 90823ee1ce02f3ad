"""Two images to a change set. Deterministic, and never guesses: what is not proved is left."""

from __future__ import annotations

from collections.abc import Iterator

from hotmend.binary.image import Image
from hotmend.binary.x86_64 import text_of
from hotmend.diff.alignment import Alignment
from hotmend.diff.changeset import ChangeSet, Replacement
from hotmend.diff.identical import Comparison
from hotmend.diff.layout import Layout, examine
from hotmend.diff.lifetime import catches, loops_for_ever, only_texts, start_up_units
from hotmend.diff.match import Matching, match
from hotmend.diff.noise import only_line_numbers
from hotmend.diff.place import InData, InFunction
from hotmend.diff.program import Program
from hotmend.diff.select import Selection
from hotmend.diff.tables import TableChange, changed_tables
from hotmend.diff.unit import Unit
from hotmend.model.refusal import Refusal, RefusalCode


def diff(old: Image, new: Image) -> ChangeSet:
    """The change set that turns ``old`` into ``new`` in memory."""
    return _Differ(match(Program(old), Program(new))).run()


class _Differ:
    def __init__(self, matching: Matching) -> None:
        self.matching = matching
        self.comparison = Comparison(matching)
        self.changed: dict[int, Alignment] = {}
        self.noise: list[tuple[int, int]] = []
        self.identical = 0

    def run(self) -> ChangeSet:
        self._sort_pairs()
        tables = list(changed_tables(self.comparison))
        added = [
            self.matching.body(new=unit.index)
            for unit in self.matching.new.units
            if unit.index not in self.matching.to_old and not unit.uncovered
        ]
        layout = examine(self.changed.values(), added, self.matching.old, self.matching.new)
        image_level = list(self._image_level())
        refused, notes = self._refused(layout, tables, image_level)
        selection = Selection(
            self.comparison,
            set(self.changed),
            refused,
            [frozenset(self._new(unit) for unit in d.units) for d in layout.confined],
        )
        selection.run()
        return self._change_set(selection, layout, [*image_level, *self._tables(tables)], notes)

    def _sort_pairs(self) -> None:
        """Identical, noise, or changed."""
        for old, new in self.matching.pairs():
            if self.comparison.difference(old, new) is None:
                self.identical += 1
                continue
            alignment = self.matching.alignment(old.index, new.index)
            if only_line_numbers(alignment, self.comparison):
                self.noise.append((old.va, new.va))
            else:
                self.changed[new.index] = alignment

    # What forbids.

    def _image_level(self) -> Iterator[Refusal]:
        """Changes of the image that no function stands for; they refuse everything in it."""
        old, new = self.matching.old.image, self.matching.new.image
        name = new.name
        added = sorted(set(new.needed) - set(old.needed))
        if added:
            yield Refusal(
                RefusalCode.NEW_NEEDED,
                f"{name} needs libraries that a running process has not loaded: {', '.join(added)}",
                name,
                (("old", " ".join(old.needed)), ("new", " ".join(new.needed))),
            )
        if len(new.constructors) > len(old.constructors):
            yield Refusal(
                RefusalCode.NEW_CONSTRUCTOR,
                f"{name} has constructors that would have run when it was loaded",
                name,
                (("old", str(len(old.constructors))), ("new", str(len(new.constructors)))),
            )
        if new.tls_size != old.tls_size:
            yield Refusal(
                RefusalCode.NEW_TLS,
                f"{name} changes its thread-local storage, which running threads have already",
                name,
                (("old bytes", str(old.tls_size)), ("new bytes", str(new.tls_size))),
            )

    def _refused(
        self, layout: Layout, tables: list[TableChange], image_level: list[Refusal]
    ) -> tuple[dict[int, Refusal], list[Refusal]]:
        """(new unit number -> refusal, notes)."""
        refused: dict[int, Refusal] = {}
        notes: list[Refusal] = []
        if image_level:
            refused = dict.fromkeys(self.changed, image_level[0])
        for index, refusal in (*self._by_layout(layout), *self._by_tables(tables)):
            refused.setdefault(index, refusal)
        starting = start_up_units(self.matching.new)
        for index, alignment in self.changed.items():
            unit = self.matching.new.units[index]
            late = self._by_lifetime(index, alignment, unit, starting)
            if late is not None:
                if only_texts(alignment, self.comparison):
                    notes.append(late)
                refused[index] = late
        return refused, notes

    def _by_lifetime(
        self, index: int, alignment: Alignment, unit: Unit, starting: set[int]
    ) -> Refusal | None:
        name = alignment.old.unit.name
        if index in starting:
            return Refusal(
                RefusalCode.RUNS_BEFORE_PATCH,
                f"{name} runs when the program starts; no detour would ever be taken",
                name,
                self._sizes(alignment),
            )
        if unit.uncovered or alignment.old.unit.uncovered:
            return Refusal(
                RefusalCode.UNMAPPED_REFERENCE,
                f"{name} is code or data in .text that .eh_frame does not describe",
                name,
                self._sizes(alignment),
            )
        if catches(self.matching.old, alignment.old.unit) or catches(self.matching.new, unit):
            return Refusal(
                RefusalCode.EXCEPTION_TABLE,
                f"{name} has a table of its own for exceptions, which a payload cannot carry",
                name,
                self._sizes(alignment),
            )
        if loops_for_ever(alignment.old):
            return Refusal(
                RefusalCode.NEVER_RETURNS,
                f"{name} never returns; processes live in it and do not pass its entry again",
                name,
                self._sizes(alignment),
            )
        return None

    def _by_layout(self, layout: Layout) -> Iterator[tuple[int, Refusal]]:
        for drift in layout.drifts:
            for unit, old_va, new_va in drift.witnesses:
                yield self._layout_refusal(
                    unit,
                    f"uses a field that moved from offset {drift.old} to {drift.new}",
                    (("functions that show it", str(len(drift.units))),),
                    old_va,
                    new_va,
                )
        for growth in layout.growths:
            yield self._layout_refusal(
                growth.unit,
                f"allocates {growth.new} bytes where the old build allocated {growth.old}",
                (("old size", str(growth.old)), ("new size", str(growth.new))),
                growth.old_va,
                growth.new_va,
            )
        for field in layout.new_fields:
            name = self._name_of(field.unit)
            yield (
                field.unit,
                Refusal(
                    RefusalCode.DATA_LAYOUT_CHANGED,
                    f"{name} uses a field at offset {field.displacement} that old objects may "
                    "not have",
                    name,
                    (
                        ("offset", str(field.displacement)),
                        ("new code", self._line(self.matching.new, field.va)),
                    ),
                ),
            )

    def _layout_refusal(
        self,
        old_unit: int,
        what: str,
        evidence: tuple[tuple[str, str], ...],
        old_va: int,
        new_va: int,
    ) -> tuple[int, Refusal]:
        name = self.matching.old.units[old_unit].name
        return self._new(old_unit), Refusal(
            RefusalCode.DATA_LAYOUT_CHANGED,
            f"{name} {what}",
            name,
            (
                *evidence,
                ("old code", self._line(self.matching.old, old_va)),
                ("new code", self._line(self.matching.new, new_va)),
            ),
        )

    def _name_of(self, index: int) -> str:
        """What people call a new unit: its old version's name where it has one."""
        old = self.matching.to_old.get(index)
        program, unit = (self.matching.new, index) if old is None else (self.matching.old, old)
        return program.units[unit].name

    def _by_tables(self, tables: list[TableChange]) -> Iterator[tuple[int, Refusal]]:
        """Changed readers of a changed table, and the changed functions that it holds: where a
        table of methods changed, the objects that they share may have, too."""
        for table, refusal in zip(tables, self._tables(tables), strict=True):
            for index in sorted(table.readers & self.changed.keys()):
                yield index, refusal
            for index in sorted(set(self._held_by(table)) & self.changed.keys()):
                yield index, refusal

    def _held_by(self, table: TableChange) -> Iterator[int]:
        """New unit numbers of the functions in slots of the table, of either build."""
        for program, base, size in (
            (self.matching.old, table.old_va, table.old_size),
            (self.matching.new, table.new_va, table.new_size),
        ):
            for va in range(base, base + size, 8):
                relocation = program.image.relocations.get(va)
                if relocation is None or relocation.symbol is not None:
                    continue
                match program.place(relocation.addend):
                    case InFunction(unit, 0) if program is self.matching.new:
                        yield unit
                    case InFunction(unit, 0) if unit in self.matching.to_new:
                        yield self.matching.to_new[unit]

    def _tables(self, tables: list[TableChange]) -> list[Refusal]:
        return [self._table_refusal(table) for table in tables]

    def _table_refusal(self, table: TableChange) -> Refusal:
        readers = sorted(self.matching.new.units[index].name for index in table.readers)
        subject = f"table@{table.old_va:#x}"
        what = (
            f"differs at byte {table.offset}"
            if table.offset is not None
            else f"has {table.new_size} bytes instead of {table.old_size}"
        )
        return Refusal(
            RefusalCode.STATIC_TABLE_CHANGED,
            f"the static table at {table.old_va:#x} {what}; running processes keep the old one",
            subject,
            (
                ("old", table.before),
                ("new", table.after),
                ("read by", ", ".join(readers[:8]) or "pointers only"),
            ),
        )

    # The answer.

    def _change_set(
        self, selection: Selection, layout: Layout, others: list[Refusal], notes: list[Refusal]
    ) -> ChangeSet:
        new, old = self.matching.new, self.matching.old
        carried = selection.carried
        added = selection.needed()
        dependence = self._dependence(selection, layout)
        reached = set(self.changed) | set(added)
        left = [
            selection.refused[index]
            for index in sorted(selection.refused)
            if index in reached and selection.refused[index] not in notes
        ]
        return ChangeSet(
            matching=self.matching,
            identical=self.identical,
            changed=tuple((a.old.unit, a.new.unit) for a in self.changed.values()),
            noise=tuple(self.noise),
            replacements=tuple(
                Replacement(
                    old.units[self.matching.to_old[index]],
                    new.units[index],
                    selection.detours[index],
                )
                for index in carried
            ),
            added=tuple(new.units[index] for index in added),
            resolutions={index: selection.resolutions[index] for index in (*carried, *added)},
            left=tuple(dict.fromkeys((*others, *left))),
            notes=tuple(notes),
            independent=not dependence,
            dependence=dependence,
        )

    def _dependence(self, selection: Selection, layout: Layout) -> str:
        """Why the carried functions cannot be switched one by one, "" when they can."""
        carried = selection.carried
        data: dict[int, str] = {}
        for index in carried:
            unit = self.matching.new.units[index]
            name = self.matching.old.units[self.matching.to_old[index]].name
            if not selection.anchored(index):
                return f"nothing unchanged proves that the interface of {name} stayed"
            for reference in unit.references:
                match reference.place:
                    case InFunction(target) if target in self.changed and target != index:
                        other = self.matching.new.units[target].name
                        return f"{name} calls {other}, and both change"
                    case InData(va):
                        if data.setdefault(va, name) != name:
                            return f"{name} and {data[va]} share static data, and both change"
        if any(self._new(unit) in carried for drift in layout.confined for unit in drift.units):
            return "a field moved within its word; its functions must change together"
        return ""

    def _new(self, old_unit: int) -> int:
        return self.matching.to_new[old_unit]

    @staticmethod
    def _line(program: Program, va: int) -> str:
        return f"{va:#x}: {text_of(program.image.read(va, 16), va)[0]}"

    @staticmethod
    def _sizes(alignment: Alignment) -> tuple[tuple[str, str], ...]:
        old, new = alignment.old.unit, alignment.new.unit
        return (
            ("old", f"{old.size} bytes at {old.va:#x}"),
            ("new", f"{new.size} bytes at {new.va:#x}"),
        )
