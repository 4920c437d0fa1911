"""Downstream tasks of the DXA domain, one file each, and what they share."""
