"""Applying a run's trained models to new scans and surfaces: ``harness predict``.

``kept`` finds and reads the weights that a run kept, ``files`` is what they are applied to, ``apply`` builds
the models again and applies them, and ``commands`` is the command line.
"""
