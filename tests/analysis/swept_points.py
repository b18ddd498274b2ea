"""Points of a sweep, written down by hand."""


def point(value, **changes):
    share = {"k": 90, "n": 100, "percent": 90.0, "low": 82.4, "high": 95.1}
    mean = {"n": 100, "mean": 0.97, "low": 0.96, "high": 0.98}
    return {
        "value": value,
        "tiles": 10,
        "tiles_refused": 0,
        "red_cells_per_mm2": 6500.0,
        "found": share,
        "false_finds": share | {"percent": 2.0},
        "dice_cell": mean,
        "dice_nucleus": mean,
        "alive_or_dead": share,
        "five_part": share,
        "unidentified": share | {"percent": 5.0},
        "red_cells_error_percent": -2.0,
        "platelets_error_percent": -20.0,
    } | changes


NOTHING = point(
    3.0,
    tiles_refused=10,
    found={"k": 0, "n": 0, "percent": None, "low": None, "high": None},
    dice_cell={"n": 0, "mean": None, "low": None, "high": None},
    red_cells_error_percent=None,
)
