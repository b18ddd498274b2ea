"""What a calibration step gives: values with uncertainty, unit and limits, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hal.errors import LeukoluxError


class CalibrationRefusedError(LeukoluxError):
    """A step gave no usable value: a result, not a fault."""

    exit_code = 6


@dataclass(frozen=True)
class Quantity:
    """One measured value.

    Attributes:
        name: with its unit at the end, as the settings' names.
        value: in ``unit``.
        unit: as a person reads it; empty for a number.
        uncertainty: half width of the 95 % interval; None if it is not known.
        low: smallest value that is accepted, None for any.
        high: largest value that is accepted, None for any.
    """

    name: str
    value: float
    unit: str = ""
    uncertainty: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the value is inside its limits."""
        return (self.low is None or self.value >= self.low) and (
            self.high is None or self.value <= self.high
        )

    @property
    def plain_name(self) -> str:
        """The name in words, without its unit."""
        suffix = "_" + self.unit.replace("/", "_per_").lower()
        return self.name.removesuffix(suffix).replace("_", " ")

    @property
    def limits(self) -> str:
        """The limits as a person reads them, or an empty text."""
        if self.low is None and self.high is None:
            return ""
        if self.low is None:
            return f"at most {self.high:g} {self.unit}".rstrip()
        if self.high is None:
            return f"at least {self.low:g} {self.unit}".rstrip()
        return f"{self.low:g} to {self.high:g} {self.unit}".rstrip()


@dataclass(frozen=True)
class Outcome:
    """What one measurement gave.

    Attributes:
        quantities: the values, the most important one first.
        details: what they rest on, JSON-compatible.
        refusal: why they cannot be used, None when they can.
    """

    quantities: tuple[Quantity, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    refusal: LeukoluxError | None = None

    def document(self) -> dict[str, Any]:
        """Return the outcome as JSON-compatible values."""
        return {
            "quantities": [asdict(quantity) for quantity in self.quantities],
            "details": dict(self.details),
            "refusal": self.refusal.as_dict() if self.refusal is not None else None,
        }


def judged(
    codes: Mapping[str, str],
    quantities: Sequence[Quantity],
    details: Mapping[str, Any] | None = None,
) -> Outcome:
    """Return the outcome of ``quantities``: refused when one of them is outside its limits.

    Args:
        codes: of the refusal, by the name of the quantity that is outside its limits.
        quantities: the values.
        details: what they rest on.
    """
    bad = next((quantity for quantity in quantities if not quantity.accepted), None)
    refusal = None
    if bad is not None:
        refusal = CalibrationRefusedError(
            codes[bad.name],
            name=bad.plain_name,
            found=f"{bad.value:.4g} {bad.unit}".rstrip(),
            limits=bad.limits,
        )
    return Outcome(tuple(quantities), details or {}, refusal)
