"""Model card of the virtual stain (Mitchell et al., FAT* 2019)."""

from __future__ import annotations

from models.manifest import NetworkEntry
from models.train.release.cards import score_table

_PAPER = """\
| on unseen donors | here | Kaza et al. 2022 |
|---|---|---|
| MS-SSIM mean of R, G, B | {ms_ssim:.4f} | 0.9125 |
| SSIM mean of R, G, B | {ssim:.4f} | 0.7811 |

The two columns are not of the same pictures: the paper's are of recorded smears, these of
simulated ones, and the pseudo-colours were chosen so that their lightness follows the image.  So
similarity is high even without any colour: the image left gray reaches MS-SSIM {gray_ms_ssim:.4f}
and SSIM {gray_ssim:.4f}.  What the network adds is the rest, and the colour differences (CIE 1976,
about 2 is just seen) look at stained pixels alone.
"""
_METHOD = """\
## Method

The conditional GAN in Lab space of Kaza et al., "Virtual Staining, Segmentation, and
Classification of Blood Smears for Label-Free Hematology Analysis", BME Frontiers 2022, 9853606:
L* is the 260 nm image, a generator predicts a* and b*, a discriminator of four strided
convolutions (64, 128, 256, 512) judges the pictures, L1 of weight 100 holds them to the truth.
Different from the paper: the generator is small and in INT8; it gives chroma per darkness at half
resolution, which is multiplied with the darkness of every pixel; the discriminator joins for the
last part of the training; L* is smoothed by a Gaussian of {smoothing} px, less than the optics'
own blur.  Post-processing is the paper's: white balance on the glass, +0.02 on R, G and B, +0.07
on V; for a whole field largest values of 0.95, 0.93 and 0.93.

The shipped weights come from two sittings on 24 and 30 donors: 1500 steps with L1 alone, then 1800
from there with eosinophils and basophils drawn more often, the last 360 of them with the
discriminator.

## The truth it was trained on

Optical densities at 260, 280 and 300 nm are unmixed into nucleic acid, protein and hemoglobin by
non-negative least squares, after smoothing by 1.2 px because little is left at 300 nm.  Each
absorber's share of the density at 260 nm is drawn as a dye with a colour of Giemsa's stain by
Beer and Lambert's law: violet, pale blue, salmon.  **The granules of eosinophils (orange) and
basophils (dark blue) are not told apart by three absorbers: in the training pictures they are
tinted by the simulator's labels.**  What the network paints orange or dark blue is therefore its
guess at the kind of cell, not a measurement, and a counted cell is re-tinted by its class.
"""
_CALIBRATED = (
    "The ranges of INT8 were set on validation donors and on a few stained cells converted to gray"
    " (PBC: Acevedo et al., Data in Brief 2020, Mendeley Data snkd93bnjr, CC BY 4.0), which gave"
    " no colour to learn; none of these pictures is distributed with this software."
)
_LIMITS = """\
## Limits

- **Research use only.**  Not a medical device; no clinical performance is claimed.
- The colours are invented from one gray image to please the eye.  They hold no information that
  the gray image does not, and no diagnosis may rest on them.
- Trained and measured on the physics model's smears alone, no recorded deep-UV smear: colours on
  real smears will be less right than the scores say.
- The truth has no noise, the image has: the score holds the noise against the stain.
- One objective (NA 0.5, 260 nm), 0.165 um per pixel.  Beyond about 1.5 um of defocus colours
  follow the rings of defocus.
"""


def card(entry: NetworkEntry, tested: tuple[int, int], *, real: bool) -> str:
    """Return the card, Markdown.

    Args:
        entry: with its scores.
        tested: numbers of test donors and of their fields.
        real: whether converted stained cells were used to calibrate INT8.
    """
    value = {name: score.value for name, score in entry.scores.items()}
    parts = [
        "# stainer\n\nGives the colours of Giemsa's stain to an unstained 260 nm image, for the"
        " eye: whole tiles on demand, and thumbnails of single cells.",
        f"- file `{entry.file}`, SHA-256 `{entry.sha256}`\n"
        f"- input: {entry.input_layout}; gray 220 is blank glass; 0.165 um per pixel\n"
        "- output: a* and b* per darkness, at half resolution as sub-pixel channels\n"
        "- INT8 (uint8 activations, int8 weights per channel)\n"
        + "".join(f"- {name}: {number}\n" for name, number in entry.parameters.items()),
        _METHOD.format(smoothing=entry.parameters["smoothing_px"]),
        f"## Data\n\n{entry.training_data[0].upper()}{entry.training_data[1:]}.  Donors are split"
        " by seed: 1000-1999 training, 2000-2999 calibration, 3000-3999 the scores"
        f" below ({tested[0]} donors, {tested[1]} fields of 1392 x 1040 px, one with white cells as"
        " in the blood and one rich in them per donor).  "
        + (_CALIBRATED if real else "No picture of anybody else is used."),
        "## Scores\n\nOf the INT8 file as shipped unless it says otherwise, before post-processing"
        " unless it says otherwise, against the whole RGB pseudo-colour made from noise-free images"
        " at three wavelengths: no pixel of the network's input is in it.  SSIM of Wang et al. 2004"
        " (Gaussian window 11, 1.5), MS-SSIM of Wang et al. 2003 (five scales), per channel over"
        " the whole field.  Bootstrap intervals over donors; n counts donors, or fields for the"
        " defocus rows.\n\n"
        + _PAPER.format(
            ms_ssim=value["MS-SSIM mean of R, G, B"],
            ssim=value["SSIM mean of R, G, B"],
            gray_ms_ssim=value["image left gray: MS-SSIM"],
            gray_ssim=value["image left gray: SSIM"],
        )
        + "\n"
        + score_table(entry.scores),
        _LIMITS,
    ]
    return "\n\n".join(parts)
