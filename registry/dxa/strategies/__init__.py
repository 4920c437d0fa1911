"""Pretraining strategies of the DXA domain, one file each."""
