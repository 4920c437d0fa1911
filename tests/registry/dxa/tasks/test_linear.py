import numpy as np
import pytest
from sklearn import linear_model
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score

from registry.dxa.tasks.linear import PrincipalComponents, Ridge, mean_r2


@pytest.fixture
def scans():
    generator = np.random.default_rng(0)
    return (
        (generator.normal(size=(20, 8)) @ generator.normal(size=(8, 60)) + 5)
        .reshape(20, 6, 5, 2)
        .astype(np.float32)
    )


def test_components_equal_scikit_learn(scans):
    reference = PCA(5).fit(scans.reshape(20, -1))
    ours = PrincipalComponents.fit(scans, 5)
    np.testing.assert_allclose(np.abs(np.sum(ours.directions * reference.components_, 1)), 1, atol=1e-3)
    expected = reference.inverse_transform(reference.transform(scans.reshape(20, -1))).reshape(scans.shape)
    np.testing.assert_allclose(ours.reconstruct(scans, 5), expected, atol=1e-2)


def test_there_are_no_more_components_than_the_scans_have(scans):
    assert len(PrincipalComponents.fit(scans, 500).directions) == 8
    assert len(PrincipalComponents.fit(scans[:4], 500).directions) == 3


def test_no_component_is_the_mean_scan(scans):
    mean = PrincipalComponents.fit(scans, 3).reconstruct(scans, 0)
    np.testing.assert_allclose(mean, np.broadcast_to(scans.mean(0), scans.shape), rtol=1e-5)


def test_equal_scans_have_no_component():
    same = np.ones((4, 6, 3, 3), np.float32)
    assert len(PrincipalComponents.fit(same, 2).directions) == 0


@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_ridge_equals_scikit_learn(penalty):
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(30, 4)) * [1, 10, 0.1, 3] + 2
    targets = inputs @ generator.normal(size=(4, 3)) + generator.normal(size=(30, 3))
    standard = (inputs - inputs.mean(0)) / inputs.std(0)
    reference = linear_model.Ridge(alpha=penalty).fit(standard, targets)
    ours = Ridge.fit(inputs, targets, penalty)
    np.testing.assert_allclose(ours.predict(inputs), reference.predict(standard), rtol=1e-6)


def test_mean_r2_equals_scikit_learn():
    generator = np.random.default_rng(2)
    targets = generator.normal(size=(15, 4))
    predictions = targets + generator.normal(size=(15, 4))
    assert mean_r2(targets, predictions) == pytest.approx(r2_score(targets, predictions))
