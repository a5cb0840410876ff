"""diagnose --investigate: from a failing run of the ARC study to what made it fail, by runs that
change one thing."""
