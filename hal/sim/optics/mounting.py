"""How the simulated camera is fixed to the microscope: turned, magnified, mirrored."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from hal.sim.blood.masses import Float32Array


@dataclass(frozen=True)
class Mounting:
    """The camera against the stage.

    Attributes:
        rotation_deg: of the camera's columns and rows against the stage, from x towards y.
        scale: size of a pixel in the sample against the configured one.
        mirrored: whether the image is mirrored top to bottom.
    """

    rotation_deg: float = 0.0
    scale: float = 1.0
    mirrored: bool = False

    @property
    def turn(self) -> NDArray[np.float64]:
        """From steps in the image to steps of the stage, (2, 2)."""
        angle, hand = math.radians(self.rotation_deg), -1.0 if self.mirrored else 1.0
        return self.scale * np.array(
            [
                [math.cos(angle), -hand * math.sin(angle)],
                [math.sin(angle), hand * math.cos(angle)],
            ]
        )

    def seen(self, image: Float32Array) -> Float32Array:
        """Return what this camera sees of ``image``, the image of a straight one.

        What a straight camera does not see is filled with the mirror image at its border, so only
        small angles and scales near 1 make sense.
        """
        if self == STRAIGHT:
            return image
        height, width = image.shape
        turn = self.turn
        centre = np.array([(width - 1) / 2.0, (height - 1) / 2.0])
        # A pixel p of this camera looks at the place centre + turn (p - centre).  Not by OpenCV,
        # which rounds these places to 1/32 pixel and so shears the image at small angles.
        by_row = turn[::-1, ::-1]
        middle = centre[::-1]
        warped = affine_transform(image, by_row, middle - by_row @ middle, mode="mirror")
        return np.asarray(np.maximum(warped, 0.0), np.float32)


STRAIGHT = Mounting()
