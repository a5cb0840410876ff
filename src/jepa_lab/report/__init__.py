"""Reports on one run or on several in comparison: figures, tables, one HTML page.

The package reads the files of runs and loads no models."""
