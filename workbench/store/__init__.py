"""One SQLite file, or PostgreSQL database, that holds everything: what came in, what was made of it, what was found. The only module that knows of rows."""

from workbench.store.deletion import Deleted, DeletionError
from workbench.store.migrations import StoreError
from workbench.store.searching import Hit
from workbench.store.store import Added, Group, Origin, Pending, RunNotFoundError, Store, Touch

__all__ = ["Added", "Deleted", "DeletionError", "Group", "Hit", "Origin", "Pending", "RunNotFoundError", "Store", "StoreError", "Touch"]
