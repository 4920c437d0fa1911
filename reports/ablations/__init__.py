r"""Ablations: what each factor of an arm contributes, in the views that its design allows.

Every effect is a linear combination of arms' endpoints, so that it has the same crossed, paired interval as a
difference of two arms. An effect is attributed to a factor only where nothing else differs.

Removals, steps of ladders and factorial effects all read the same way: what the base's level of a factor
brings, so that a positive effect on a result that should be large speaks for it. In a two-level factorial
with levels coded +1 (as in the base) and -1 (changed), effects are twice the least squares coefficients: a
main effect is the mean change that the factor makes, over the levels of the others; an interaction is half
the difference of one factor's effect between the other's levels. What a fractional design cannot tell apart
is named, not estimated.

``designs``    which arms weigh how much in an effect, and the orders in which factors change
``study``      the arms around one base, and effects between them
``removals``   one thing changed at a time
``orders``     factors put in place one after the other
``factorial``  main effects and interactions
``doses``      the response to the levels of a factor
``findings``   what the four of them find
``analysis``   every study of a run
"""

from reports.ablations.analysis import ablations
from reports.ablations.findings import Ablations, Dose, Effect

__all__ = ["Ablations", "Dose", "Effect", "ablations"]
