"""A benchmark of collapses: short real runs of other people's kind of code, each labelled by an
oracle that reads what no rule reads (see `oracle`).

    python studies_docs/collapse_bench train OUT [--shard 0/2]
        trains and labels the runs that OUT lacks; after a kill the same line resumes
    python studies_docs/collapse_bench status OUT
        counts the finished runs and their labels
    python studies_docs/collapse_bench collect OUT [--to FILE.parquet]
        writes the table of all finished runs
    python studies_docs/collapse_bench document
        writes the counts of docs/collapse_bench.md from the table that ships with the package
"""
