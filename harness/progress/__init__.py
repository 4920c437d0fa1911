"""What a person sees while a run goes on.

``display``  what the driver tells whoever watches
``live``     cells, what runs, how far and how much longer, on a terminal
``plain``    lines elsewhere
``tally``    how far a run is, in numbers
``words``    these numbers as people read them
"""

from harness.progress.display import Display, SilentDisplay
from harness.progress.plain import PlainDisplay, make_display
from harness.progress.words import duration

__all__ = ["Display", "PlainDisplay", "SilentDisplay", "duration", "make_display"]
