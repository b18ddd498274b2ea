"""Entering the waiting sample, from any thread: screens, API and command line all come here."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypedDict

from device.engine.state.waiting_sample import (
    MAX_NAME_LENGTH,
    WaitingSample,
    check_operator,
    check_sample_id,
)
from device.errors import RequestRefusedError
from hal.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from device.engine.state.snapshot import Snapshot, SnapshotStore
    from device.records.records import Records


LOT_LOOK_S: Final = 1.0
"""Time between two looks at a chosen lot; real seconds."""


class SampleChanges(TypedDict, total=False):
    """What changes of the waiting sample; fields as :class:`WaitingSample`."""

    sample_id: str
    control_lot: int | None
    operator: str
    draft_sample_id: str | None
    draft_operator: str | None


class SampleEntry:
    """The only way to change the waiting sample before a start.

    Args:
        snapshots: where the waiting sample stands.
        records: know the lots of control slides and the number of the next run.
    """

    def __init__(self, snapshots: SnapshotStore, records: Records) -> None:
        self._snapshots = snapshots
        self._records = records
        self._looked_s = time.monotonic()

    @property
    def waiting(self) -> WaitingSample:
        """The sample that waits now."""
        return self._snapshots.snapshot.waiting_sample

    def enter(self, **changes: Unpack[SampleChanges]) -> WaitingSample:
        """Change the waiting sample as a whole; what is left out stays; return it.

        Text that is refused stays as a draft, so that the former one cannot be started.  A draft
        that comes together with entered text was typed after it.

        Raises:
            InputError: the sample id, the operator or the control lot cannot be used.
            RecordsError: the lots cannot be read.
        """
        found: dict[str, Any] = {**changes}
        refusals = []
        for name, check in (("sample_id", check_sample_id), ("operator", check_operator)):
            draft = f"draft_{name}"
            if found.get(draft) is not None:
                found[draft] = found[draft][: MAX_NAME_LENGTH + 1]
            if name not in found:
                continue
            try:
                found[name] = check(found[name])
                found.setdefault(draft, None)
            except InputError as error:
                refusals.append(error)
                refused = found.pop(name)[: MAX_NAME_LENGTH + 1]
                if found.get(draft) is None:
                    found[draft] = refused
        if "sample_id" in found:
            found["suggested"] = False
        if "control_lot" in found:
            found["lot_in_use"] = self._lot_in_use(found["control_lot"])
            if not found["lot_in_use"]:
                refusals.append(_no_such_lot(found["control_lot"]))
        entered = self._change(lambda waiting: replace(waiting, **found))
        if refusals:
            raise refusals[0]
        return entered

    def made(
        self, sample_id: str, control_lot: int | None = None, operator: str = ""
    ) -> WaitingSample:
        """Return a sample for a start that names it itself; the waiting one stays.

        Raises: as :meth:`enter`.
        """
        if not self._lot_in_use(control_lot):
            raise _no_such_lot(control_lot)
        return WaitingSample(check_sample_id(sample_id), control_lot, check_operator(operator))

    def suggest(self) -> None:
        """Give the sample the number of the next run, unless something was entered or is typed.

        Raises RecordsError.
        """
        number = self._records.next_run()

        def suggested(waiting: WaitingSample) -> WaitingSample:
            if waiting.sample_id and not waiting.suggested:
                return waiting
            return replace(waiting, sample_id=f"S-{number:04d}", suggested=True)

        self._change(suggested)

    def recheck(self) -> WaitingSample:
        """Look up again whether the control lot is in use; return the sample.

        Raises RecordsError.
        """
        lot = self.waiting.control_lot
        in_use = self._lot_in_use(lot)
        return self._change(
            lambda waiting: (
                replace(waiting, lot_in_use=in_use) if waiting.control_lot == lot else waiting
            )
        )

    def watch_lot(self) -> None:
        """Look up now and then whether a chosen lot is still in use: another program may close it.

        Raises RecordsError.
        """
        now_s = time.monotonic()
        if self.waiting.control_lot is None or now_s - self._looked_s < LOT_LOOK_S:
            return
        self._looked_s = now_s
        self.recheck()

    def require_unchanged(self, sample: WaitingSample, *, shown: bool) -> None:
        """Raise if a sample that is about to be started can no longer be started.

        Args:
            sample: as it was when somebody asked for the start.
            shown: whether it was the waiting one, as the screens showed it.

        Raises:
            RequestRefusedError: another one was entered or typed meanwhile.
            InputError: its control lot is no longer in use.
            RecordsError: the lots cannot be read.
        """
        if shown and self.waiting.revision != sample.revision:
            raise RequestRefusedError("START-SAMPLE-CHANGED", sample_id=sample.sample_id)
        if not self._lot_in_use(sample.control_lot):
            raise _no_such_lot(sample.control_lot)

    def _change(self, change: Callable[[WaitingSample], WaitingSample]) -> WaitingSample:
        def changed(now: Snapshot) -> Snapshot:
            after = change(now.waiting_sample)
            if after == now.waiting_sample:
                return now
            after = replace(after, revision=after.revision + 1)
            return replace(now, waiting_sample=after, refusal=None)

        return self._snapshots.update(changed).waiting_sample

    def _lot_in_use(self, lot_id: int | None) -> bool:
        if lot_id is None:
            return True
        with self._records.reader() as reader:
            lot = reader.control_lot(lot_id)
        return lot is not None and lot.closed_utc is None


def _no_such_lot(lot_id: int | None) -> InputError:
    return InputError("INPUT-LOT", lot_id=lot_id)
