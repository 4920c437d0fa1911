"""What the rest of a suite costs, from trials that were timed or from what somebody states.

``timings``     how long trials took, in the cache
``work``        what is still to run, trials of one kind together
``price``       hours of processors and accelerators, and time on a clock
``throughput``  the same from stated throughput, for machines that are not here
"""
