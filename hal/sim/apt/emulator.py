"""Two emulated APT controllers behind pseudo-terminals, with their faults as switches."""

from __future__ import annotations

from threading import Lock
from typing import TypeAlias

from hal.clock import Clock
from hal.config import AptConfig
from hal.sim.apt.axis import AxisMechanics, SimulatedAxis
from hal.sim.apt.controller import AptController, AptFaults
from hal.sim.serial.place_log import PlaceLog
from hal.sim.serial.pseudo_terminal import PseudoTerminal

Vector: TypeAlias = tuple[float, float, float]

Z_BACKLASH_UM = 2.0
Z_REPEATABILITY_UM = 0.03


class AptEmulator:
    """An MLS203-like stage on a controller with two bays, and a z drive on a controller of its own.

    All switches are safe from any thread.

    Args:
        config: what the controllers are set to.
        clock: paces motion and delays.
        start_um: where the slide is at power-up, stage frame.
        seed: of the stopping errors.
    """

    def __init__(
        self,
        config: AptConfig,
        clock: Clock,
        start_um: Vector = (40_000.0, 40_000.0, 8_000.0),
        seed: int = 0,
    ) -> None:
        self._clock = clock
        self._lock = Lock()
        axes = [
            SimulatedAxis(mechanics, at_um / 1000.0, seed + index)
            for index, (mechanics, at_um) in enumerate(
                zip(_mechanics(config), start_um, strict=True)
            )
        ]
        self.axes = dict(zip("XYZ", axes, strict=True))
        x, y, z = axes
        # Addresses here are those of the controllers' own numbering, whatever the host believes.
        self._stage = AptController({config.address_x: x, config.address_y: y}, "BBD302")
        self._focus = AptController({config.address_z: z}, "KDC101")
        self._controllers = {"xy": self._stage, "z": self._focus}
        self._places = PlaceLog()
        self._terminals = {
            name: PseudoTerminal(controller, clock, self._lock, f"stage-{name}", self._note_place)
            for name, controller in self._controllers.items()
        }

    @property
    def port(self) -> str:
        """Path of the port of x and y."""
        return self._terminals["xy"].port

    @property
    def port_z(self) -> str:
        """Path of the port of z."""
        return self._terminals["z"].port

    def true_position_um(self) -> Vector:
        """Return where the slide really is, stage frame, um: with backlash, error and swinging."""
        with self._lock:
            return self._true_um(self._clock.monotonic_s())

    def true_position_um_at(self, time_s: float) -> Vector:
        """Return where the slide was at ``time_s`` of the clock, when it was at rest then."""
        with self._lock:
            return self._places.at(time_s, self._true_um(self._clock.monotonic_s()))

    def orders(self, controller: str = "xy") -> list[tuple[float, int, int]]:
        """Return what a controller understood: time, address and number of each message."""
        with self._lock:
            return list(self._controllers[controller].orders)

    def inject(self, controller: str = "xy", **switches: int | bool) -> None:
        """Set switches of :class:`~hal.sim.apt.controller.AptFaults`, e.g. ``lost_moves=1``."""
        with self._lock:
            for name, value in switches.items():
                if name not in AptFaults.__dataclass_fields__:
                    raise ValueError(f"no fault of an APT controller is called {name}")
                setattr(self._controllers[controller].faults, name, value)

    def block(self, axis: str, blocked: bool = True) -> None:
        """Let something hold an axis (X, Y or Z), or take it away."""
        with self._lock:
            self.axes[axis].blocked = blocked

    def restart(self, controller: str = "xy") -> None:
        """Let a controller lose its power for a moment; its port stays."""
        with self._lock:
            self._controllers[controller].powered_off(self._clock.monotonic_s())

    def unplug(self, controller: str = "xy") -> None:
        """Pull a controller's cable and power."""
        self._terminals[controller].unplug()

    def plug_in(self, controller: str = "xy") -> None:
        """Put them back."""
        self._terminals[controller].plug_in()

    def close(self) -> None:
        """Stop the threads and remove the ports.  Can be called twice."""
        for terminal in self._terminals.values():
            terminal.close()

    def _true_um(self, now_s: float) -> Vector:
        for controller in self._controllers.values():
            controller.advance(now_s)
        x, y, z = (axis.slide_mm(now_s) * 1000.0 for axis in self.axes.values())
        return (x, y, z)

    def _note_place(self, now_s: float) -> None:
        self._places.note(now_s, self._true_um(now_s))


def _mechanics(config: AptConfig) -> list[AxisMechanics]:
    xy = [
        AxisMechanics(
            config.counts_per_mm_xy,
            config.sample_time_xy_us * 1e-6,
            travel_mm,
            config.limit_bits_swapped_xy,
        )
        for travel_mm in (config.travel_x_mm, config.travel_y_mm)
    ]
    z = AxisMechanics(
        config.counts_per_mm_z,
        config.sample_time_z_us * 1e-6,
        config.travel_z_mm,
        config.limit_bits_swapped_z,
        backlash_um=Z_BACKLASH_UM,
        repeatability_um=Z_REPEATABILITY_UM,
        home_mm_per_s=3.0,
    )
    return [*xy, z]
