"""The run's folder: metrics in Parquet, identity, state, summary. `ledger.logger` imports Lightning: kept apart."""

from jepa_lab.ledger.atomic import replace_file, write_atomic, write_json
from jepa_lab.ledger.identity import IGNORED, run_id
from jepa_lab.ledger.parquet import ParquetLedger, history_of, last_values, read_metrics
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.ledger.summary import summarise, write_summary

__all__ = [
    "IGNORED",
    "ParquetLedger",
    "RunDir",
    "history_of",
    "last_values",
    "read_metrics",
    "replace_file",
    "run_id",
    "summarise",
    "write_atomic",
    "write_json",
    "write_summary",
]
