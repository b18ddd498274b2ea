"""The virtual stain: a 260 nm image drawn in the colours of Giemsa's stain.

Lightness is the image itself, chroma comes from a network (Kaza et al., BME Frontiers 2022,
9853606).  The network gives chroma per darkness, at half resolution: the tint of a cell changes
slowly, so that its product with the darkness of each pixel is sharp, and blank glass stays blank.
The colours help the eye; they say nothing that the gray image does not.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.cell_kind import TRAITS, UNIDENTIFIED, CellKind
from models.errors import ModelError
from models.layout import BLANK_LEVEL, space_to_depth
from models.manifest import NetworkEntry, read_manifest
from models.session import Network

Image = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

NAME = "stainer"
LEAST_PX = 16
PARAMETERS = ("glass_lightness", "smoothing_px")

# Kaza et al. 2022: after the white balance +0.02 on R, G and B, then +0.07 on V; the picture of a
# whole field is scaled to these largest values.
ADDED_RGB = 0.02
ADDED_VALUE = 0.07
WIDE_FIELD_LARGEST = (0.95, 0.93, 0.93)

_NETWORK_MULTIPLE_PX = 16
_BORDER_PX = 48
_GLASS_GRAY = (BLANK_LEVEL - 12, BLANK_LEVEL + 12)
_LEAST_GLASS_SHARE = 0.02

_FULL_TINT_DARKNESS = 25.0
_EDGE_SIGMA_PX = 1.0
# What is darker than this in the cytoplasm is a red cell or a lobe that lies over it.
_CYTOPLASM_DARKNESS = (22.0, 34.0)


def lightness(gray: Image, glass_lightness: float) -> Float32Array:
    """Return CIE L* of a normalised image: proportional to its gray, ``glass_lightness`` at 220."""
    scaled = gray * np.float32(glass_lightness / BLANK_LEVEL)
    return np.asarray(np.minimum(scaled, 100), np.float32)


def glass_of(image: Image) -> NDArray[np.bool_]:
    """Return where a normalised image shows nothing but glass."""
    return (image >= _GLASS_GRAY[0]) & (image <= _GLASS_GRAY[1])


class Stainer:
    """Colours for normalised images; not for use by two threads at once."""

    def __init__(self, network: Network, entry: NetworkEntry) -> None:
        missing = set(PARAMETERS) - set(entry.parameters)
        if missing:
            raise ValueError(f"a stainer needs {', '.join(sorted(missing))}")
        self._network = network
        self._block_px = entry.block_px
        self._glass_lightness = entry.parameters["glass_lightness"]
        self._smoothing_px = entry.parameters["smoothing_px"]

    def stain(self, image: Image, *, wide_field: bool = False) -> Image:
        """Return the stained picture.

        Args:
            image: uint8 (h, w), normalised gray (220 is blank glass) at 0.165 um per pixel, at
                least 16 px high and wide.
            wide_field: whether this is a whole field, which is drawn on slightly warm glass.

        Returns:
            uint8 (h, w, 3), RGB, post-processed.
        """
        return finished(self.colour(image), glass_of(image), wide_field=wide_field)

    def colour(self, image: Image) -> Float32Array:
        """Return the picture before post-processing, float32 (h, w, 3), sRGB 0..1."""
        if image.dtype != np.uint8 or image.ndim != 2 or min(image.shape) < LEAST_PX:
            raise TypeError(
                f"expected a uint8 image of at least {LEAST_PX} px, not {image.dtype} {image.shape}"
            )
        smooth = lightness(image, self._glass_lightness)
        if self._smoothing_px > 0:
            cv2.GaussianBlur(smooth, (0, 0), self._smoothing_px, dst=smooth)
        darkness = np.maximum(np.float32(self._glass_lightness) - smooth, 0)
        a, b = self._tint(image) * darkness
        return np.asarray(cv2.cvtColor(cv2.merge([smooth, a, b]), cv2.COLOR_LAB2RGB), np.float32)

    def _tint(self, image: Image) -> Float32Array:
        """Return a* and b* per darkness, float32 (2, h, w)."""
        height, width = image.shape
        down = -(height + _BORDER_PX) % _NETWORK_MULTIPLE_PX + _BORDER_PX
        right = -(width + _BORDER_PX) % _NETWORK_MULTIPLE_PX + _BORDER_PX
        # Cells that the border cuts go on as their mirror image.
        padded = np.asarray(
            cv2.copyMakeBorder(image, _BORDER_PX, down, _BORDER_PX, right, cv2.BORDER_REFLECT_101),
            np.uint8,
        )
        sub_pixels = self._network.run(space_to_depth(padded[None], self._block_px))[0]
        tint = np.empty((2, height, width), np.float32)
        for plane, half in zip(tint, arranged(sub_pixels), strict=True):
            full = cv2.resize(half, padded.shape[::-1], interpolation=cv2.INTER_LINEAR)
            plane[:] = full[_BORDER_PX : _BORDER_PX + height, _BORDER_PX : _BORDER_PX + width]
        return tint


def arranged(sub_pixels: Float32Array) -> Float32Array:
    """Spread channels over sub-pixels: (2 * f * f, h, w) to (2, h * f, w * f)."""
    channels, height, width = sub_pixels.shape
    factor = round((channels / 2) ** 0.5)
    spread = sub_pixels.reshape(2, factor, factor, height, width).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(spread).reshape(2, height * factor, width * factor)


def finished(rgb: Float32Array, glass: NDArray[np.bool_], *, wide_field: bool = False) -> Image:
    """Apply the post-processing of Kaza et al. 2022.

    Args:
        rgb: float32 (h, w, 3), sRGB 0..1.
        glass: bool (h, w), where blank glass lies; it gives the white balance if there is enough.
        wide_field: whether to scale the result as a picture of a whole field.

    Returns:
        uint8 (h, w, 3).
    """
    out = rgb
    if np.count_nonzero(glass) >= _LEAST_GLASS_SHARE * glass.size:
        mean = np.array(cv2.mean(rgb, glass.astype(np.uint8))[:3])
        out = out * (mean.max() / mean).astype(np.float32)
    brighter = np.clip(out + np.float32(ADDED_RGB), 0, 1)
    hsv = cv2.cvtColor(brighter, cv2.COLOR_RGB2HSV)
    hsv[..., 2] = np.minimum(hsv[..., 2] + np.float32(ADDED_VALUE), 1)
    out = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32)
    if wide_field:
        out = out * np.array(WIDE_FIELD_LARGEST, np.float32)
    return np.clip(np.round(255 * out), 0, 255).astype(np.uint8)


def retint(rgb: Image, mask: Image, kind: str) -> Image:
    """Give one cell the colours of its kind (Kaza et al. 2022, figure S1); lightness stays.

    Args:
        rgb: uint8 (h, w, 3), a stained picture.
        mask: uint8 (h, w), 0 outside, 1 cytoplasm, 2 nucleus of the cell.
        kind: name of a class; ``dead``, ``other`` and ``unidentified`` keep their colours.

    Returns:
        uint8 (h, w, 3), a new picture.

    Raises:
        ValueError: there is no such kind.
    """
    if rgb.shape[:2] != mask.shape:
        raise TypeError(f"the mask {mask.shape} does not fit the picture {rgb.shape}")
    tints = None if kind == UNIDENTIFIED else TRAITS[CellKind(kind)].tints
    if tints is None:
        return rgb.copy()
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    darkness = 100 - lab[..., 0]
    # Chroma grows with darkness only until a dye is saturated.
    strength = _FULL_TINT_DARKNESS * np.tanh(darkness / _FULL_TINT_DARKNESS)
    pale, dark = _CYTOPLASM_DARKNESS
    cytoplasm = (mask == 1) * np.clip((dark - darkness) / (dark - pale), 0, 1)
    for where, depth, tint in zip((cytoplasm, mask == 2), (strength, darkness), tints, strict=True):
        soft = cv2.GaussianBlur(where.astype(np.float32), (0, 0), _EDGE_SIGMA_PX)[..., None]
        wanted = depth[..., None] * np.array(tint, np.float32)
        lab[..., 1:] += soft * (wanted - lab[..., 1:])
    out = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return np.clip(np.round(255 * out), 0, 255).astype(np.uint8)


def load_stainer(directory: Path | None = None) -> Stainer:
    """Open the stain network of a folder; by default the one that came with the software.

    Raises:
        ModelError: the network is missing or damaged.
    """
    folder = Path(__file__).parent if directory is None else directory
    entry = read_manifest(folder).networks.get(NAME)
    if entry is None:
        raise ModelError("MODEL-STAINER-NOT-LISTED")
    return Stainer(Network(folder, entry), entry)
