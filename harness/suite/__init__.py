"""A suite: what was asked for, as its author wrote it, checked before anything runs.

``suite``        the file and its checks
``axes``         the tables that add arms, axes and judgements to the plain matrix
``inheritance``  a file that extends another
``schema``       the format as JSON schema
``fields``       every field as a page
``toml``         tables written as TOML
"""

from harness.suite.suite import Suite, load_suite, parse_suite, read_toml

__all__ = ["Suite", "load_suite", "parse_suite", "read_toml"]
