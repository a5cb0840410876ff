"""Watches the features of any training loop."""

from jepa_lab.monitor.hooks import Outputs, watch
from jepa_lab.monitor.monitor import Monitor
from jepa_lab.monitor.verdict import MonitorVerdict

__all__ = ["Monitor", "MonitorVerdict", "Outputs", "watch"]
