"""Two runs against each other: what differs in environment and configuration, and whether results moved.

A result counts as moved only beyond the noise of its own paired interval: same patients, and the same seeds
where both runs have them. A regression is a primary endpoint that is worse after Holm's correction over all
endpoints, and not shown to lie within its margin; or one that the second run does not have any more.

``configuration``  environment and configuration, field by field
``outcomes``       results of both runs, paired and judged
``findings``       what a diff finds
``comparing``      two folders in, all of this out
``page``           the same for people and for machines
"""

from reports.diff.comparing import diff
from reports.diff.findings import RunDiff

__all__ = ["RunDiff", "diff"]
