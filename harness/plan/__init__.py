"""From a suite to cells and trials: what would run, in which order it may, and under which identity.

Planning loads cards and spaces, never data or weights, and imports neither torch nor ray.

``trials``    cells and trials, as a plan lists them
``matrix``    arms, tasks and conditions, and who takes whose setting
``searched``  which arms search their pretraining, and by which score
``naming``    the specification, and so the identity, of every trial
``plan``      what is known by now, and how to name what follows from a choice
``checks``    what a suite may not ask for
``making``    from a suite to its plan
"""

from harness.plan.making import make_plan
from harness.plan.plan import Plan
from harness.plan.trials import Cell, Trial

__all__ = ["Cell", "Plan", "Trial", "make_plan"]
