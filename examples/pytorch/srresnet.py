# SPDX-License-Identifier: MIT
"""A plain SRResNet in PyTorch: what `lockstep export RUN --format pytorch` writes loads into it.

    python3 srresnet.py model.safetensors in.png out.png

Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial
Network", figure 4, with Lockstep's variations. The names of the layers are those of the common
implementations (conv_input, residual.N.conv1, conv_mid, upscale4x, conv_output).

Input: RGB in [0, 1], shape [n, 3, h, w], h and w at least 3.
Output: RGB in [-1, 1], shape [n, 3, 4h, 4w], not clamped: clip it, then (x + 1) / 2.
"""

import json
import sys

import torch
import torch.nn.functional as F
from torch import nn


def activation_of(kind, channels):
    return nn.PReLU(channels, init=0.25) if kind == "prelu" else nn.ReLU()


class ResidualBlock(nn.Module):
    """Two convolutions with norms; the activation comes behind the first norm, or before it."""

    def __init__(self, channels, normalization, activation, order):
        super().__init__()
        batch = normalization == "batch"
        self.norm_first = order == "norm-activation"
        # A bias right before a normalization would do nothing.
        has_bias = not (batch and self.norm_first)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=has_bias)
        self.bn1 = nn.BatchNorm2d(channels) if batch else nn.Identity()
        self.prelu = activation_of(activation, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=not batch)
        self.bn2 = nn.BatchNorm2d(channels) if batch else nn.Identity()

    def forward(self, x):
        y = self.conv1(x)
        y = self.prelu(self.bn1(y)) if self.norm_first else self.bn1(self.prelu(y))
        return x + self.bn2(self.conv2(y))


class UpscaleBy2(nn.Module):
    """A convolution and a pixel shuffle, or nearest neighbours and a convolution."""

    def __init__(self, inputs, outputs, upsampling, activation):
        super().__init__()
        self.shuffles = upsampling == "pixel-shuffle"
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.prelu = activation_of(activation, outputs // 4 if self.shuffles else outputs)

    def forward(self, x):
        if self.shuffles:
            return self.prelu(F.pixel_shuffle(self.conv(x), 2))
        return self.prelu(self.conv(F.interpolate(x, scale_factor=2, mode="nearest")))


class SRResNet(nn.Module):
    """The arguments are the keys of `generator` in Lockstep's run spec; defaults: the paper's."""

    def __init__(
        self,
        blocks=16,
        channels=64,
        normalization="batch",  # or "none"
        activation="prelu",  # or "relu"
        order="norm-activation",  # or "activation-norm"
        upsampling="pixel-shuffle",  # or "nearest"
        upsamplingChannels=256,
        skip="none",  # or "bicubic"
        output="tanh",  # or "linear"
        **_,  # how training starts does not change the network
    ):
        super().__init__()
        batch = normalization == "batch"
        narrow = upsamplingChannels // 4 if upsampling == "pixel-shuffle" else upsamplingChannels
        self.skip, self.output = skip, output
        self.conv_input = nn.Conv2d(3, channels, 9, padding=4)
        self.prelu_input = activation_of(activation, channels)
        self.residual = nn.Sequential(
            *(ResidualBlock(channels, normalization, activation, order) for _ in range(blocks))
        )
        self.conv_mid = nn.Conv2d(channels, channels, 3, padding=1, bias=not batch)
        self.bn_mid = nn.BatchNorm2d(channels) if batch else nn.Identity()
        self.upscale4x = nn.Sequential(
            UpscaleBy2(channels, upsamplingChannels, upsampling, activation),
            UpscaleBy2(narrow, upsamplingChannels, upsampling, activation),
        )
        self.conv_output = nn.Conv2d(narrow, 3, 9, padding=4)

    def forward(self, low):
        first = self.prelu_input(self.conv_input(low))
        y = first + self.bn_mid(self.conv_mid(self.residual(first)))
        y = self.conv_output(self.upscale4x(y))
        if self.output == "tanh":
            y = torch.tanh(y)
        return y + enlarge_bicubic(2 * low - 1) if self.skip == "bicubic" else y

    @classmethod
    def from_file(cls, path):
        """The network of a file that Lockstep exported, ready to be used."""
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            config = json.loads(file.metadata()["lockstep.generator"])
            weights = {name: file.get_tensor(name) for name in file.keys()}
        network = cls(**config)
        network.load_state_dict(weights)
        return network.eval()


def enlarge_bicubic(x):
    """[n, c, h, w] to [n, c, 4h, 4w]: Keys' cubic with a = -1/2 and reflected borders.

    F.interpolate would take a = -3/4 and repeat the border.
    """

    def weight(phase, distance):
        t = abs(distance - (2 * phase - 3) / 8)
        if t >= 2:
            return 0.0
        return (1.5 * t - 2.5) * t * t + 1 if t <= 1 else ((-0.5 * t + 2.5) * t - 4) * t + 2

    taps = torch.tensor([[weight(p, d) for d in range(-2, 3)] for p in range(4)])
    filters = torch.einsum("py,qx->pqyx", taps, taps).reshape(16, 1, 5, 5).to(x)
    n, c, h, w = x.shape
    padded = F.pad(x, (2, 2, 2, 2), mode="reflect").reshape(n * c, 1, h + 4, w + 4)
    return F.pixel_shuffle(F.conv2d(padded, filters), 4).reshape(n, c, 4 * h, 4 * w)


def main(model, source, target):
    import numpy as np
    from PIL import Image

    network = SRResNet.from_file(model)
    pixels = np.asarray(Image.open(source).convert("RGB"), dtype=np.float32) / 255
    with torch.no_grad():
        high = network(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    pixels = (high.clamp(-1, 1) + 1) * 127.5
    Image.fromarray(pixels.round().to(torch.uint8).numpy()).save(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
