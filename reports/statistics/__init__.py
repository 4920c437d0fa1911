"""Statistics of test results: arrays in, numbers out; nothing here knows a record or a page.

``agreement``  how well predictions agree with targets, from sums over patients
``resampled``  a statistic in the data and in every resample, and combinations of several
``bootstrap``  the crossed bootstrap over seeds and patients
``intervals``  the interval that follows from it
``bca``        a second interval, over patients alone
``tests``      p values, their correction, margins, verdicts
``flips``      exact tests over patients
``ranking``    how firm an order is
``limits``     agreement person by person
``arrays``     the array that all are computed in
"""
