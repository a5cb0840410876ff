"""The run's folder: metrics in Parquet, identity, state, summary. `ledger.logger` imports
Lightning: kept apart."""
