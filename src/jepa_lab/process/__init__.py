"""The process around a command: its frame and exit codes, signals, memory, paths and output."""
