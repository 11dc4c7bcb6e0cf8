"""One SQLite file, or PostgreSQL database, that holds everything: what came in, what was made of it, what was found. The only module that knows of rows."""

from workbench.store.collected import Added, Group, Origin, Pending, Touch
from workbench.store.deletion import Deleted, DeletionError
from workbench.store.derived import DamagedRunError, RunNotFoundError
from workbench.store.migrations import StoreError
from workbench.store.searching import Hit
from workbench.store.store import Store

__all__ = ["Added", "DamagedRunError", "Deleted", "DeletionError", "Group", "Hit", "Origin", "Pending", "RunNotFoundError", "Store", "StoreError", "Touch"]
