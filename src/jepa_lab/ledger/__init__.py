"""The files of a run's folder: metrics in Parquet, identity, state and summary. Only
`ledger.logger` imports Lightning."""
