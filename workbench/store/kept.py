"""What re-runs did: their receipts, and the ledger of side effects. And what the store keeps under a name for all who use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import select

from workbench.model import (
    LedgerEntry,
    Receipt,
    digest,
)
from workbench.store.opened import Opened
from workbench.store.payloads import Payloads, load
from workbench.store.rows import (
    LEDGER,
    RECEIPT,
    SETTING,
    column,
    insert,
)


class Kept(Opened):
    """The store's receipts, ledger and settings."""

    def save_receipt(self, receipt: Receipt) -> None:
        """Store a fork's receipt."""
        payloads = Payloads()
        address = payloads.put(receipt)
        with self._writing() as connection:
            payloads.save(connection)
            insert(connection, RECEIPT, [{"run_id": receipt.run_id, "sha256": address}])

    def receipt(self, run_id: str) -> Receipt | None:
        """A fork's receipt; None for a run that is no fork."""
        with self._engine.connect() as connection:
            address = connection.execute(select(RECEIPT.c.sha256).where(RECEIPT.c.run_id == run_id)).scalar()
            return None if address is None else next(iter(load(connection, Receipt, [address])))

    def append_entry(self, entry: LedgerEntry) -> bool:
        """Add a line to the ledger of side effects; False, with nothing added, where it begins what has been begun before under the same key."""
        return self._append([entry]) == 1

    def append_entries(self, entries: Sequence[LedgerEntry]) -> None:
        """Add lines at once, in their order; one that begins what has been begun before is left out, as by `append_entry`."""
        self._append(entries)

    def _append(self, entries: Sequence[LedgerEntry]) -> int:
        """How many lines were added."""
        payloads = Payloads()
        rows = [
            {
                "run_id": one.run_id,
                "event": one.event,
                "key": digest(one.key),
                "idempotency_key": one.idempotency_key,
                "at_ns": one.at_ns,
                "sha256": payloads.put(one),
            }
            for one in entries
        ]
        with self._writing() as connection:
            payloads.save(connection)
            return insert(connection, LEDGER, rows)

    def entries(self, *, key: str | None = None, idempotency_key: str | None = None, run_id: str | None = None) -> list[LedgerEntry]:
        """The lines of the ledger with this business key, idempotency key and fork, oldest first."""
        wanted = {LEDGER.c.key: None if key is None else digest(key), LEDGER.c.idempotency_key: idempotency_key, LEDGER.c.run_id: run_id}
        query = (
            select(LEDGER.c.sha256)
            .where(*(column == value for column, value in wanted.items() if value is not None), LEDGER.c.sha256 != "")
            .order_by(LEDGER.c.seq)
        )
        with self._engine.connect() as connection:
            return list(load(connection, LedgerEntry, column(connection, query)))

    def has_setting(self, name: str) -> bool:
        """Whether the store keeps something under a name."""
        with self._engine.connect() as connection:
            return connection.execute(select(SETTING.c.name).where(SETTING.c.name == name)).scalar() is not None

    def setting(self, name: str, first: Callable[[], bytes]) -> bytes:
        """What the store keeps under a name for all who use it; where nothing is there yet, what `first` makes, from then on."""
        query = select(SETTING.c.value).where(SETTING.c.name == name)
        with self._engine.connect() as connection:
            known = connection.execute(query).scalar()
        if known is None:
            with self._writing() as connection:  # another may have been quicker: what is there counts
                insert(connection, SETTING, [{"name": name, "value": first()}])
                known = connection.execute(query).scalar_one()
        return bytes(known)

    def kept(self, name: str) -> bytes | None:
        """What the store keeps under a name, None for nothing."""
        with self._engine.connect() as connection:
            known: bytes | None = connection.execute(select(SETTING.c.value).where(SETTING.c.name == name)).scalar()
        return None if known is None else bytes(known)

    def keep(self, name: str, value: bytes) -> None:
        """Keep something under a name, in place of what was there."""
        with self._writing() as connection:
            connection.execute(SETTING.delete().where(SETTING.c.name == name))
            insert(connection, SETTING, [{"name": name, "value": value}])
