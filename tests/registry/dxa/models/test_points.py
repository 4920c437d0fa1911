import pytest
import torch

from registry.dxa.mesh.torch_ops import TorchBackend
from registry.dxa.models.points import LEVELS, PointNet, PointNet2, build_point_encoder, level_centres


@pytest.fixture(params=["pointnet2", "pointnet"])
def encoder(request):
    torch.manual_seed(0)
    return build_point_encoder(request.param, 8, TorchBackend()).eval()


@pytest.fixture(scope="module")
def clouds():
    return torch.randn(3, 64, 3, generator=torch.Generator().manual_seed(0)) / 2


def test_features_do_not_depend_on_the_order_of_points(encoder, clouds):
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        first, shuffled = encoder(clouds), encoder(clouds[:, order])
    assert first.shape == (3, encoder.feature_count)
    torch.testing.assert_close(first, shuffled, atol=1e-5, rtol=1e-4)


def test_features_depend_on_the_points(encoder, clouds):
    with torch.inference_mode():
        assert not torch.allclose(encoder(clouds), encoder(1.2 * clouds))


def test_every_weight_learns(encoder, clouds):
    encoder.train()
    encoder(clouds).square().sum().backward()
    idle = [name for name, weight in encoder.named_parameters() if weight.grad is None]
    assert idle == []


def test_chosen_centres_are_the_farthest_points_of_the_template(clouds):
    encoder = PointNet2(8, TorchBackend()).eval()
    centres = encoder.choose_centres(clouds[0])
    assert [len(index) for index in centres] == level_centres(LEVELS, 64)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(clouds[:1], centres), encoder(clouds[:1]))


def test_groups_are_taken_about_their_centres():
    """Far apart, the finest level sees each neighbourhood alone: moving one leaves the others' features."""
    encoder = PointNet2(4, TorchBackend(), levels=LEVELS[:1]).eval()
    seen = []
    encoder.networks[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    cloud = torch.rand(1, 16, 3) / 100
    with torch.inference_mode():
        encoder(cloud)
        encoder(cloud + 5)
    torch.testing.assert_close(seen[0], seen[1], atol=1e-5, rtol=1e-3)


def test_pointnet_starts_without_a_transform(clouds):
    encoder = PointNet(8).eval()
    with torch.inference_mode():
        encoder(clouds)
        assert float(encoder.orthogonality()) == 0.0


def test_the_regulariser_is_the_distance_from_a_rotation(clouds):
    encoder = PointNet(8).eval()
    with torch.inference_mode():
        encoder.feature_transform.matrix[-1].bias.copy_(torch.eye(8).flatten())  # A = 2 I, A A' = 4 I
        encoder(clouds)
        assert float(encoder.orthogonality()) == pytest.approx(9.0 * 8)
