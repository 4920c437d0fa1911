"""A run's scans to other software, and what it measured back into the run's report.

``export`` makes generated scans with the run's kept models and hands them over in one blinded pool with the
real ones, ``key`` remembers who is who, and ``measurement`` turns what came back into a record that the
report reads, with tables from ``layouts``. The command line is ``harness bodycomp export --run`` and
``harness bodycomp import --run``.
"""
