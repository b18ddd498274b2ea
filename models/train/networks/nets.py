"""The three networks, as float modules.

All take space-to-depth images, channels last, values 0..1, and are built of what INT8 CPU kernels
run fast: dense 3x3 convolutions with ReLU, maximum pooling, nearest upsampling and added skips.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.train.data.samples import CLASSES

SCOUT_STEM_PX = 4
SCOUT_GRID_PX = 8
SCOUT_FINE_PX = 4
SCOUT_CHANNELS = 10
SEGMENTER_STEM_PX = 2
SEGMENTER_CROP_PX = 192
CLASSIFIER_STEM_PX = 4
CLASSIFIER_CROP_PX = 128
CLASSIFIER_PLANES = 3


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Pyramid(nn.Module):
    """Encoder and decoder with added skips; ``widths`` from the finest level to the coarsest."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        before = (inputs, *widths)
        self.down = nn.ModuleList(
            nn.Sequential(_conv(before[i], widths[i]), _conv(widths[i], widths[i]))
            for i in range(len(widths))
        )
        self.across = nn.ModuleList(
            _conv(widths[i + 1], widths[i], size=1) for i in range(len(widths) - 1)
        )
        self.up = nn.ModuleList(_conv(width, width) for width in widths[:-1])

    def forward(self, x: Tensor, coarse_bias: Tensor | None = None) -> Tensor:
        """Map (n, inputs, h, w) to (n, widths[0], h, w); the bias joins at the coarsest level."""
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else functional.max_pool2d(x, 2))
            skips.append(x)
        if coarse_bias is not None:
            x = functional.relu(x + coarse_bias)
        for level in reversed(range(len(self.up))):
            coarse = functional.interpolate(self.across[level](x), scale_factor=2.0, mode="nearest")
            x = self.up[level](coarse + skips[level])
        return x


class ScoutNet(nn.Module):
    """Whole-tile detector.

    Per cell of the 8 px grid: logits of a nucleus and of usability, then of a red cell in each of
    the four 4 px sub-cells, then of a platelet in each of them.  A stem of stride two keeps the
    costly dense convolutions off the finest grid.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (48, 64, 96)
        self.stem = _conv(SCOUT_STEM_PX**2, widths[0], stride=2)
        self.coarse = Pyramid(widths[0], widths[1:])
        self.across = _conv(widths[1], widths[0], size=1)
        self.fine = _conv(widths[0], widths[0])
        self.head = nn.Conv2d(widths[0], SCOUT_CHANNELS, 1)
        nn.init.constant_(self.head.bias, -3.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, h/4, w/4, 16) to logits (n, 10, h/8, w/8); h and w multiples of 32."""
        skip = self.stem(x.permute(0, 3, 1, 2))
        coarse = self.across(self.coarse(functional.max_pool2d(skip, 2)))
        up = functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        logits: Tensor = self.head(self.fine(skip + up))
        return logits


class SegmenterNet(nn.Module):
    """Cell and nucleus of the cell in the middle of a crop, as full-resolution logits.

    Most of the work is done on a grid of 4 px; a thin layer on 2 px blocks before and after it
    carries the exact place of the edges.  The learned bias on the coarsest level tells the network
    where the middle is, so that it can leave a touching neighbour out.
    """

    def __init__(self) -> None:
        super().__init__()
        thin, widths = 48, (64, 96, 128, 128)
        size = SEGMENTER_CROP_PX // (2 * SEGMENTER_STEM_PX) // 2 ** (len(widths) - 1)
        self.stem = _conv(SEGMENTER_STEM_PX**2, thin)
        self.reduce = _conv(thin, widths[0], stride=2)
        self.body = Pyramid(widths[0], widths)
        self.place = nn.Parameter(torch.zeros(1, widths[-1], size, size))
        self.across = _conv(widths[0], thin, size=1)
        self.fine = nn.Sequential(_conv(thin, thin), _conv(thin, thin))
        self.head = nn.Conv2d(thin, 2 * SEGMENTER_STEM_PX**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 96, 96, 4) to sub-pixel logits (n, 8, 96, 96); channel = 4 class + sub-pixel."""
        edges = self.stem(x.permute(0, 3, 1, 2))
        coarse = self.across(self.body(self.reduce(edges), self.place))
        up = functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        logits: Tensor = self.head(self.fine(edges + up))
        return logits

    @staticmethod
    def logit_image(logits: Tensor) -> Tensor:
        """Arrange the sub-pixels: (n, 8, 96, 96) to (n, 2, 192, 192)."""
        return functional.pixel_shuffle(logits, SEGMENTER_STEM_PX)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


class ClassifierNet(nn.Module):
    """Class logits from the gray crop, the cell mask and the nucleus mask."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv(CLASSIFIER_PLANES * CLASSIFIER_STEM_PX**2, 64),
            _conv(64, 64),
            nn.MaxPool2d(2),
            _conv(64, 96),
            _Residual(96),
            nn.MaxPool2d(2),
            _conv(96, 128),
            _Residual(128),
            nn.MaxPool2d(2),
            _Residual(128),
        )
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(128, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 32, 32, 48) to logits (n, 7)."""
        features = self.features(x.permute(0, 3, 1, 2)).mean((2, 3))
        logits: Tensor = self.head(self.dropout(features))
        return logits
