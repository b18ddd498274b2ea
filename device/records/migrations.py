"""The schema of the records, as numbered migrations; one that was released never changes."""

from __future__ import annotations

from sqlite_utils import Database, Migrations

MIGRATIONS = Migrations("leukolux")


@MIGRATIONS(name="0001_runs_tiles_cells_results_events")
def _first(db: Database) -> None:
    db.table("runs").create(
        {
            "id": int,
            "sample_id": str,
            "state": str,
            "reason": str,
            "started_utc": str,
            "ended_utc": str,
            "started_monotonic_s": float,
            "ended_monotonic_s": float,
            "tiles_planned": int,
            "settings": str,
            "versions": str,
            "error": str,
        },
        pk="id",
        not_null={
            *("sample_id", "state", "started_utc", "started_monotonic_s"),
            *("tiles_planned", "settings", "versions"),
        },
    )
    db.table("tiles").create(
        {
            "id": int,
            "run_id": int,
            "sequence": int,
            "row": int,
            "column": int,
            "x_um": float,
            "y_um": float,
            "z_um": float,
            "state": str,
            "usable": int,
            "reason": str,
            "sharpness": float,
            "fill_fraction": float,
            "saturated_fraction": float,
            "cells": int,
            "red_cells": int,
            "platelets": int,
            "analysis_ms": float,
            "exposure_ms": float,
            "exposures": int,
            "dose_mj_per_cm2": float,
            "error": str,
        },
        pk="id",
        not_null={"run_id", "row", "column", "state", "usable"},
        foreign_keys=[("run_id", "runs", "id")],
    )
    db.table("tiles").create_index(["run_id", "row", "column"], unique=True)
    db.table("cells").create(
        {
            "id": int,
            "run_id": int,
            "tile_sequence": int,
            "x_um": float,
            "y_um": float,
            "x_px": float,
            "y_px": float,
            "bbox_px": str,
            "kind": str,
            "identified": int,
            "probabilities": str,
            "area_um2": float,
            "nucleus_area_um2": float,
            "picture": bytes,
            "mask": bytes,
        },
        pk="id",
        not_null={"run_id", "tile_sequence", "x_um", "y_um", "kind", "identified"},
        foreign_keys=[("run_id", "runs", "id")],
    )
    db.table("cells").create_index(["run_id", "kind"])
    db.table("results").create(
        {"run_id": int, "version": int, "stored_utc": str, "document": str},
        pk=("run_id", "version"),
        not_null={"stored_utc", "document"},
        foreign_keys=[("run_id", "runs", "id")],
    )
    db.table("events").create(
        {
            "id": int,
            "run_id": int,
            "utc": str,
            "monotonic_s": float,
            "kind": str,
            "data": str,
        },
        pk="id",
        not_null={"utc", "monotonic_s", "kind", "data"},
        foreign_keys=[("run_id", "runs", "id")],
    )
    db.table("events").create_index(["run_id"])


@MIGRATIONS(name="0002_leds_sample_doses")
def _light(db: Database) -> None:
    db.table("leds").create(
        {
            "name": str,
            "exposures": int,
            "light_s": float,
            "first_brightness_per_s": float,
            "last_brightness_per_s": float,
            "first_utc": str,
            "last_utc": str,
        },
        pk="name",
        not_null={"exposures", "light_s", "first_utc", "last_utc"},
    )
    db.table("sample_doses").create(
        {"sample_id": str, "exposures": int, "j_per_cm2": float, "last_utc": str},
        pk="sample_id",
        not_null={"exposures", "j_per_cm2", "last_utc"},
    )


@MIGRATIONS(name="0003_checks_controls")
def _quality(db: Database) -> None:
    db.table("checks").create(
        {
            "id": int,
            "utc": str,
            "level": str,
            "operator": str,
            "verdict": str,
            "versions": str,
            "report": str,
        },
        pk="id",
        not_null={"utc", "level", "operator", "verdict", "versions", "report"},
    )
    db.table("control_lots").create(
        {
            "id": int,
            "name": str,
            "level": str,
            "created_utc": str,
            "closed_utc": str,
            "source": str,
            "targets": str,
        },
        pk="id",
        not_null={"name", "level", "created_utc", "source"},
    )
    db.table("control_points").create(
        {
            "id": int,
            "lot_id": int,
            "run_id": int,
            "utc": str,
            "values": str,
            "verdict": str,
            "rules": str,
        },
        pk="id",
        not_null={"lot_id", "run_id", "utc", "values", "verdict", "rules"},
        foreign_keys=[("lot_id", "control_lots", "id"), ("run_id", "runs", "id")],
    )
    db.table("control_points").create_index(["run_id"], unique=True)
    db.table("control_points").create_index(["lot_id"])
    db.table("control_comments").create(
        {"id": int, "point_id": int, "utc": str, "operator": str, "text": str},
        pk="id",
        not_null={"point_id", "utc", "operator", "text"},
        foreign_keys=[("point_id", "control_points", "id")],
    )
    db.table("control_comments").create_index(["point_id"])
    db.table("runs").add_column("control_lot", int)
    db.table("tiles").add_column("cell_od", float)


@MIGRATIONS(name="0004_calibrations")
def _calibrations(db: Database) -> None:
    db.table("calibration_sessions").create(
        {
            "id": int,
            "device": str,
            "operator": str,
            "steps": str,
            "marks": str,
            "begun_utc": str,
            "ended_utc": str,
        },
        pk="id",
        not_null={"device", "operator", "steps", "marks", "begun_utc"},
    )
    db.table("calibrations").create(
        {
            "id": int,
            "session_id": int,
            "device": str,
            "step": str,
            "state": str,
            "utc": str,
            "operator": str,
            "software": str,
            "document": str,
        },
        pk="id",
        not_null={"session_id", "device", "step", "state", "utc", "operator", "software"},
        foreign_keys=[("session_id", "calibration_sessions", "id")],
    )
    db.table("calibrations").create_index(["device", "step"])


@MIGRATIONS(name="0005_run_operators")
def _operators(db: Database) -> None:
    db.table("runs").add_column("operator", str, not_null_default="")


@MIGRATIONS(name="0006_mosaic_positions")
def _mosaic_positions(db: Database) -> None:
    tiles = db.table("tiles")
    tiles.add_column("links", str, not_null_default="[]")
    tiles.add_column("mosaic_x_um", float)
    tiles.add_column("mosaic_y_um", float)
    tiles.create_index(["run_id", "sequence"])
