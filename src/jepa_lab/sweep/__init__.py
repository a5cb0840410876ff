"""Sweeps that finish: every job composed and checked before the first starts, its state kept in a file."""

from jepa_lab.sweep.records import Begin, Record, read_records
from jepa_lab.sweep.table import job_line, print_records, summary_line

__all__ = ["Begin", "Record", "job_line", "print_records", "read_records", "summary_line"]
