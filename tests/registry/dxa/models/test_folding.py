import copy
import gc
import weakref

import pytest
import timm
import torch
from timm.layers.conv2d_same import Conv2dSame, conv2d_same
from torch import nn
from torch.nn import functional

from registry.contracts import InputError
from registry.dxa.models.folding import FoldedConvolution, fold, merge, pointwise

IMAGES = torch.randn(2, 3, 37, 27, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def backbone_of(name):
    torch.manual_seed(0)
    backbone = timm.create_model(name, features_only=True, out_indices=(1, 3)).double()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return backbone.eval()


def gradients(network, parameters):
    network.zero_grad(set_to_none=True)
    maps = network(IMAGES)
    sum(one.square().sum() for one in maps).backward()
    return maps, {name: value.grad for name, value in parameters.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "densenet121"])
def test_a_folded_network_has_the_values_and_gradients_of_the_layers(name):
    plain = backbone_of(name)
    folded = fold(plain)
    assert sum(isinstance(module, FoldedConvolution) for module in folded.modules()) >= 15
    maps, wanted = gradients(plain, plain)
    again, found = gradients(folded, plain)
    for one, other in zip(maps, again, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-12)
    assert set(found) == set(wanted)
    for key, gradient in wanted.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-8, atol=1e-8 * float(gradient.abs().max()))


def test_the_weights_of_a_folded_network_go_when_it_goes():
    gc.disable()  # a worker would hold them until Python looks for circles
    try:
        plain = timm.create_model("resnet18", features_only=True).eval()
        folded = fold(plain)
        weights = [weakref.ref(weight) for weight in plain.parameters()]
        del plain, folded
        assert not [one for one in weights if one() is not None]
    finally:
        gc.enable()


def test_where_statistics_follow_the_batches_nothing_is_folded():
    plain = backbone_of("resnet18")
    folded = fold(plain)
    twin = copy.deepcopy(plain)
    plain.train()
    twin.train()
    for one, other in zip(folded(IMAGES), twin(IMAGES), strict=True):
        torch.testing.assert_close(one, other)
    for (name, one), other in zip(plain.named_buffers(), twin.buffers(), strict=True):
        assert torch.equal(one, other), name


def test_a_folded_network_follows_the_weights_that_it_shares():
    plain = backbone_of("resnet18")
    folded = fold(plain)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.mul_(0.9)
    torch.testing.assert_close(folded(IMAGES), plain(IMAGES))
    assert not any(".convolution" in name for name in plain.state_dict())


def test_merged_weights_stand_still_and_chosen_modules_are_returned():
    plain = backbone_of("tf_efficientnet_lite0")
    folded = fold(plain, ["blocks.0.0.conv_pw", "bn1"])
    merge(folded)
    first = functional.relu6(plain.bn1(plain.conv_stem(IMAGES)))
    torch.testing.assert_close(folded(IMAGES)[1], first)


def test_an_unknown_module_is_refused():
    with pytest.raises(InputError, match="no module 'features_99'"):
        fold(timm.create_model("vgg16", features_only=True), ["features_99"])


def test_stages_that_nobody_asked_for_are_left_out():
    backbone = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(0,))
    folded = fold(backbone.eval())
    assert sum(isinstance(module, FoldedConvolution) for module in folded.modules()) == 3


@pytest.mark.parametrize("size", [(9, 8), (7, 10), (3, 2), (1, 1)])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (5, 1)])
def test_padding_same_and_kernels_beyond_the_map_equal_timm(size, kernel, stride):
    convolution = Conv2dSame(4, 4, kernel, stride=stride, groups=4, bias=False).double()
    plain = nn.Conv2d(4, 4, kernel, stride=stride, padding=kernel // 2, groups=4, bias=False).double()
    norm = nn.BatchNorm2d(4).double().eval()
    images = torch.randn(2, 4, *size, dtype=torch.float64)
    for layer in (convolution, plain):
        torch.testing.assert_close(FoldedConvolution(layer, norm)(images), norm(layer(images)))
    shifted = conv2d_same(images, convolution.weight, None, convolution.stride, groups=4)
    assert shifted.shape == convolution(images).shape


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_rows_as_images_equal_a_pointwise_convolution(memory_format):
    images = torch.randn(3, 5, 4, 6).contiguous(memory_format=memory_format)
    weight, bias = torch.randn(7, 5, 1, 1), torch.randn(7)
    torch.testing.assert_close(pointwise(images, weight, bias), functional.conv2d(images, weight, bias))
