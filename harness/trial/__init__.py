"""One trial, in whatever process: from a small payload to a folder of results.

The payload holds names, paths and numbers, never data or weights, so that it travels anywhere. What comes
back is small too: the outcome. Everything else is in the trial's folder before the outcome is returned, so
a driver that dies in between finds the trial done.

``payload``    what a worker is told
``execution``  running it, with a time limit and a log
``attempt``    learning, judging, keeping
``checks``     what strategies and tasks must hand back
``produced``   what came of it, and the files of its folder
``failures``   what an error says
``row``        the trial's row in the results
"""

from harness.trial.execution import execute
from harness.trial.payload import make_payload

__all__ = ["execute", "make_payload"]
