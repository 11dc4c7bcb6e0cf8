"""The errors that a person can do something about: each is told in one line, without a traceback."""

from __future__ import annotations

from workbench.alerts import WebhookError
from workbench.backtest.backtest import LabelError
from workbench.backtest.conditions import ConditionError
from workbench.chat_models import ModelError
from workbench.collection import IngestError
from workbench.live.receiver import ReceiverError
from workbench.plugins import PluginError
from workbench.project import ProjectError
from workbench.redaction import RedactionError
from workbench.replay.forking import ForkError
from workbench.replay.regression import CaseError
from workbench.report import ReportError
from workbench.sharing import SharingError
from workbench.source import SourceError
from workbench.store import DeletionError, StoreError

KNOWN = (
    StoreError,
    DeletionError,
    RedactionError,
    ProjectError,
    IngestError,
    SourceError,
    PluginError,
    CaseError,
    ForkError,
    ReportError,
    ReceiverError,
    SharingError,
    ConditionError,
    LabelError,
    ModelError,
    WebhookError,
    LookupError,
    OSError,
)
