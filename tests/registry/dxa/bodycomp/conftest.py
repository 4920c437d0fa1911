import numpy as np
import pytest

from registry.dxa.bodycomp import subjects


@pytest.fixture(scope="session")
def visits():
    """Four simulated subjects, from six to eighty-five years."""
    return [subject.visits[0] for subject in subjects.simulate_subjects("accuracy", 4)]


@pytest.fixture(scope="session")
def codes(visits):
    return np.stack([visit.scan.codes for visit in visits])
