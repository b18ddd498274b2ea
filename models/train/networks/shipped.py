"""The float network of an INT8 file that ships, to go on training from it.

Checkpoints do not ship.  The file has everything but the batch statistics: each batch
normalisation is folded into the convolution before it.  The weights keep the names they have in
the module, so they find their place by name and shape; the normalisations are made again
from images, so that the network computes what the file computes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from torch import Tensor, nn

from hal.errors import InputError
from models.manifest import MANIFEST_NAME, read_manifest, verified_file

_QUANTIZED = "_quantized"
_FOLDED_BIAS = "_bias"
"""What a folded bias is called after the weight of its convolution."""


def initial_file(folder: Path, network: str) -> Path:
    """Return what to start the training of a network from.

    Args:
        folder: with checkpoints of an earlier training or else with shipped networks.
        network: its name.

    Returns:
        the checkpoint ``<network>.pt``, else the network file of the folder's manifest.

    Raises:
        InputError: the folder has neither.
        ModelError: the manifest cannot be read, or the file's hash differs from it.
    """
    checkpoint = folder / f"{network}.pt"
    if checkpoint.exists():
        return checkpoint
    if (folder / MANIFEST_NAME).exists():
        entry = read_manifest(folder).networks.get(network)
        if entry is not None:
            return verified_file(folder, entry)
    raise InputError("TRAIN-START-MISSING", folder=folder, network=network)


def restore(net: nn.Module, path: Path) -> None:
    """Give a network the weights of its INT8 file; its normalisations change nothing.

    Use :func:`calibrate` before training it.

    Args:
        net: on the CPU, built like the network that was exported.
        path: of the file, from :func:`models.train.networks.export.quantize`.

    Raises:
        InputError: the file cannot be read, or its weights are not those of the network.
    """
    network = type(net).__name__
    found = _dequantized(path)
    wanted = _weights(net)
    for name, tensor in wanted.items():
        if name not in found:
            raise InputError("TRAIN-WEIGHTS-MISSING", path=path, network=network, name=name)
        if found[name].shape != (shape := tuple(tensor.shape)):
            raise InputError(
                "TRAIN-WEIGHTS-SHAPE",
                path=path,
                network=network,
                name=name,
                found=found[name].shape,
                expected=shape,
            )
    if left := sorted(set(found) - set(wanted)):
        raise InputError("TRAIN-WEIGHTS-UNKNOWN", path=path, network=network, name=left[0])
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(torch.from_numpy(found[name]))
        for norm in _norms(net):
            norm.weight.fill_(1.0)
            norm.get_buffer("running_mean").zero_()
            norm.get_buffer("running_var").fill_(1.0 - norm.eps)


def calibrate(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the batch statistics to those of images, without changing what the network computes.

    A channel that is constant on the images is no danger: its weight becomes the root of the
    normalisation's epsilon, so that training amplifies no noise in it.

    Args:
        net: whose normalisations to set; left in eval mode.
        batches: images as the network takes them.
    """
    seen = {norm: _Moments() for norm in _norms(net)}
    hooks = [norm.register_forward_pre_hook(moments.add) for norm, moments in seen.items()]
    net.eval()
    with torch.no_grad():
        for images in batches:
            net(images)
        for norm, moments in seen.items():
            _set_statistics(norm, moments)
    for hook in hooks:
        hook.remove()


class _Moments:
    """Mean and variance per channel of everything that went into a module."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = torch.zeros(())
        self._squares = torch.zeros(())

    def add(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double()
        self._count += values.numel() // values.shape[1]
        self._sum = self._sum.to(values) + values.sum((0, 2, 3))
        self._squares = self._squares.to(values) + values.square().sum((0, 2, 3))

    def mean(self) -> Tensor:
        return self._sum / self._count

    def variance(self) -> Tensor:
        return (self._squares / self._count - self.mean().square()).clamp(min=0)


def _set_statistics(norm: nn.BatchNorm2d, moments: _Moments) -> None:
    """Exchange the statistics and take the change back in weight and bias."""
    old_mean, old_variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    mean, variance = moments.mean(), moments.variance()
    slope = norm.weight / (old_variance.double() + norm.eps).sqrt()
    norm.bias.add_(slope * (mean - old_mean))
    norm.weight.copy_(slope * (variance + norm.eps).sqrt())
    old_mean.copy_(mean)
    old_variance.copy_(variance)


def _norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def _weights(net: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that a file of the network holds, by their names there."""
    named: dict[str, Tensor] = dict(net.named_parameters())
    for name, block in net.named_modules():
        if not isinstance(block, nn.Sequential):
            continue
        for (before, _), (after, norm) in itertools.pairwise(block.named_children()):
            if isinstance(norm, nn.BatchNorm2d):
                del named[f"{name}.{after}.weight"]
                named[f"{name}.{before}.weight{_FOLDED_BIAS}"] = named.pop(f"{name}.{after}.bias")
    return named


def _dequantized(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the weights of an INT8 file as floats, by their names before quantization."""
    try:
        graph = onnx.load(path).graph
    except (OSError, DecodeError) as error:
        raise InputError("TRAIN-NETWORK-UNREADABLE", path=path, reason=error) from error
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            values, scale, zero = (stored[name] for name in node.input)
            axis = next((item.i for item in node.attribute if item.name == "axis"), 1)
            name = node.input[0].removesuffix(_QUANTIZED)
            found[name] = _scaled(values, scale, zero, axis)
    return found


def _scaled(
    values: NDArray[np.integer],
    scale: NDArray[np.float32],
    zero: NDArray[np.integer],
    axis: int,
) -> NDArray[np.float32]:
    """Return integers as floats; one scale and zero point for all or for each item of an axis."""
    if scale.ndim:
        shape = [1] * values.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return np.asarray((values.astype(np.float64) - zero) * scale, np.float32)
