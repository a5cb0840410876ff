"""The command line: composing a configuration, older names, help, and the work of each command."""
