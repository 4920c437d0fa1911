"""Batch normalisation folded into the convolution before it, wherever its statistics stand still.

A frozen normalisation is a scale and a shift per channel: applied to the convolution's weights it costs next
to nothing, applied to feature maps it costs a pass over memory forward and two backward. Numbers and
gradients stay equal up to rounding: weights are scaled inside the graph, so all of them still learn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from timm.layers._fx import get_notrace_modules
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from registry.contracts import InputError

Activation = Callable[[Tensor], Tensor]


class FoldedConvolution(nn.Module):
    """A convolution and the batch normalisation after it, as one convolution while the latter stands still.

    Parameters
    ----------
    convolution, norm
        The modules as they are; their weights stay theirs.
    """

    merged_weight: Tensor | None
    merged_bias: Tensor | None

    def __init__(self, convolution: nn.Conv2d, norm: _BatchNorm) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = norm
        self.register_buffer("merged_weight", None, persistent=False)
        self.register_buffer("merged_bias", None, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """What normalisation after convolution gives, activation included where the former has one."""
        if self.norm.training:
            followed: Tensor = self.norm(self.convolution(images))
            return followed
        if self.merged_weight is not None and self.merged_bias is not None:
            weight, bias = self.merged_weight, self.merged_bias
        else:
            weight, bias = self.weights()
        return _convolve(self.convolution, images, weight, bias, self._activate)

    def _activate(self, convolved: Tensor) -> Tensor:
        if isinstance(self.norm, BatchNormAct2d):
            convolved = self.norm.act(self.norm.drop(convolved))
        return convolved

    def weights(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution, differentiable in those of both modules."""
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None and variance is not None  # noqa: S101 - folded pairs keep statistics
        scale = self.norm.weight * torch.rsqrt(variance + self.norm.eps)
        shift = self.norm.bias - mean * scale
        if self.convolution.bias is not None:
            shift = shift + self.convolution.bias * scale
        return self.convolution.weight * scale[:, None, None, None], shift


def fold(network: nn.Module, outputs: Sequence[str] | None = None) -> fx.GraphModule:
    """The same network over the same weights, with every pair folded that can be.

    Parameters
    ----------
    network
        What is folded; it stays as it is, and sharing its modules the result follows its weights and modes.
    outputs
        Names of modules whose values to return as a list, in this order; what comes after the last one is
        left out. By default the network's own result.

    Raises
    ------
    InputError
        If an output is not among the network's modules.
    torch.fx.proxy.TraceError
        If the network decides by the values of its tensors, so that it has no fixed graph.
    """
    tracer = _Tracer()
    graph = tracer.trace(network)
    folded = fx.GraphModule(network, graph)
    if outputs is not None:
        _choose(graph, outputs)
    graph.eliminate_dead_code()  # a feature extractor runs stages that nobody asked for
    for number, node in enumerate(list(graph.nodes)):
        pair = _pair(folded, node)
        if pair is not None:
            name = f"folded_{number}"
            folded.add_submodule(name, FoldedConvolution(*pair))
            (norm,) = node.users
            with graph.inserting_after(node):
                replacement = graph.call_module(name, node.args, node.kwargs)
            norm.replace_all_uses_with(replacement)
            graph.erase_node(norm)
            graph.erase_node(node)
    folded.delete_all_unused_submodules()
    folded.recompile()
    # Both are parts of circles, and would hold all weights until Python's collector happens to come by.
    folded.graph.owning_module = None
    del tracer.root
    return folded


def merge(folded: fx.GraphModule) -> None:
    """Compute the weights of every folded pair once, for a network that never learns."""
    with torch.no_grad():
        for module in folded.modules():
            if isinstance(module, FoldedConvolution):
                weight, bias = module.weights()
                module.merged_weight = weight.contiguous(memory_format=torch.channels_last)
                module.merged_bias = bias


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        kept_whole = tuple(get_notrace_modules())  # type: ignore[no-untyped-call]
        return isinstance(module, kept_whole) or super().is_leaf_module(module, name)


def _choose(graph: fx.Graph, outputs: Sequence[str]) -> None:
    """Return the values of these modules and leave out what they do not need."""
    made = {str(node.target): node for node in graph.nodes if node.op == "call_module"}
    for name in outputs:
        if name not in made:
            raise InputError(f"the network has no module {name!r}", mend=f"choose among {', '.join(made)}")
    (old,) = (node for node in graph.nodes if node.op == "output")
    with graph.inserting_before(old):
        graph.output([made[name] for name in outputs])
    graph.erase_node(old)


def _pair(folded: fx.GraphModule, node: fx.Node) -> tuple[nn.Conv2d, _BatchNorm] | None:
    """Convolution at `node` and the normalisation that alone reads it, if they can be folded."""
    if node.op != "call_module" or len(node.users) != 1:
        return None
    (user,) = node.users
    if user.op != "call_module":
        return None
    convolution, norm = (folded.get_submodule(str(one.target)) for one in (node, user))
    if not isinstance(convolution, nn.Conv2d) or convolution.padding_mode != "zeros":
        return None
    if not isinstance(norm, _BatchNorm) or not norm.affine or not norm.track_running_stats:
        return None
    return convolution, norm


def _convolve(
    convolution: nn.Conv2d, images: Tensor, weight: Tensor, bias: Tensor, activate: Activation
) -> Tensor:
    """Convolve and activate; the latter before anything is viewed in another shape, as it may be in place."""
    if isinstance(convolution, Conv2dSame):
        return _convolve_same(convolution, images, weight, bias, activate)
    if _is_pointwise(convolution) and images.device.type == "cpu":
        return pointwise(images, weight, bias, activate)
    padding = convolution.padding
    if convolution.dilation == (1, 1) and not isinstance(padding, str):
        weight, padding = _crop(weight, padding, images.shape[2:])
    convolved = functional.conv2d(
        images, weight, bias, convolution.stride, padding, convolution.dilation, convolution.groups
    )
    return activate(convolved)


def _crop(weight: Tensor, padding: tuple[int, ...], size: Sequence[int]) -> tuple[Tensor, tuple[int, ...]]:
    """Leave out of the kernels what only ever meets padding, as on the small maps of deep layers.

    Examples
    --------
    >>> cropped, padding = _crop(torch.zeros(1, 1, 5, 5), (2, 2), (3, 2))
    >>> tuple(cropped.shape), padding
    ((1, 1, 5, 3), (2, 1))
    """
    reach = tuple(min(pad, length - 1) for pad, length in zip(padding, size, strict=True))
    centred = all(kernel == 2 * pad + 1 for kernel, pad in zip(weight.shape[2:], padding, strict=True))
    if not centred or reach == padding:
        return weight, padding
    rows, columns = (slice(pad - keep, pad + keep + 1) for pad, keep in zip(padding, reach, strict=True))
    return weight[:, :, rows, columns], reach


def pointwise(
    images: Tensor, weight: Tensor, bias: Tensor | None, activate: Activation = lambda convolved: convolved
) -> Tensor:
    """A 1 x 1 convolution and an activation per channel, with rows of images as images.

    For fewer than 16 images on one thread torch leaves its fast library for a path that takes twice as long;
    in channels-last format rows of images are images without anything being moved.
    """
    count, channels, height, width = images.shape
    rows = images.permute(0, 2, 3, 1).reshape(count * height, 1, width, channels).permute(0, 3, 1, 2)
    convolved = activate(functional.conv2d(rows, weight, bias)).permute(0, 2, 3, 1)
    return convolved.reshape(count, height, width, len(weight)).permute(0, 3, 1, 2)


def _is_pointwise(convolution: nn.Conv2d) -> bool:
    return (
        convolution.kernel_size == (1, 1)
        and convolution.stride == (1, 1)
        and convolution.padding in {(0, 0), "valid", "same"}
        and convolution.groups == 1
    )


def _convolve_same(
    convolution: Conv2dSame, images: Tensor, weight: Tensor, bias: Tensor, activate: Activation
) -> Tensor:
    """A convolution of TensorFlow's padding `SAME`, which may pad more after than before.

    Padding both sides alike, by as much as keeps the grid, and leaving out the surplus of the result spares
    copies of the padded images and of their gradient.
    """
    padding, slices = zip(
        *(
            _symmetric(size, kernel, stride, dilation)
            for size, kernel, stride, dilation in zip(
                images.shape[2:],
                convolution.kernel_size,
                convolution.stride,
                convolution.dilation,
                strict=True,
            )
        ),
        strict=True,
    )
    convolved = functional.conv2d(
        images, weight, bias, convolution.stride, padding, convolution.dilation, convolution.groups
    )
    return activate(convolved)[:, :, slices[0], slices[1]]


def _symmetric(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, slice]:
    """Padding of both sides, and which part of the result is that of the padding `SAME`.

    Examples
    --------
    >>> _symmetric(38, 3, 2, 1)  # none before, one after: two and two, without the first value
    (2, slice(1, 20, None))
    >>> _symmetric(19, 3, 1, 1)
    (1, slice(0, 19, None))
    """
    wanted = -(-size // stride)
    total = max((wanted - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    before = total // 2
    surplus = -(-(total - 2 * before) // stride)
    return before + surplus * stride, slice(surplus, surplus + wanted)
