"""The driver: from a request to a finished run folder.

Everything is checked before anything is written, and everything is written before anything is forgotten:
giving the same command again goes on where the last one stopped.

``preparation``  a request whose names and settings are checked
``execution``    what stands between that and the first trial
``resumption``   what earlier executions left
``driver``       the loop that hands out trials and takes in what becomes of them
``payloads``     what workers are told
``journaling``   what the journal is told
"""

from harness.run.driver import Finished
from harness.run.execution import run_suite
from harness.run.preparation import Prepared, prepare

__all__ = ["Finished", "Prepared", "prepare", "run_suite"]
