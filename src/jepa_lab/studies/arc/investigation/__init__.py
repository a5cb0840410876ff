"""The investigation of a failing ARC run (`diagnose --investigate`): it finds the cause by runs
that change one setting each."""
