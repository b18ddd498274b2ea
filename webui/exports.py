"""What a run can be downloaded as: its routes and the links of its page follow this list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flask import Response

from webui.reading import find_result, find_run, open_reader
from webui.views.tables import cells_csv, differential_csv

if TYPE_CHECKING:
    from device.records.reader import RecordsReader
    from device.records.record_types import RunRecord


@dataclass(frozen=True)
class Export:
    """A file that a run can be downloaded as.

    Attributes:
        name: last part of its address, the end of its file name, and the key of its label.
        mimetype: what the content is.
        content: returns it; raises NotFoundError if the run has no such content.
    """

    name: str
    mimetype: str
    content: Callable[[RecordsReader, RunRecord], str | bytes]

    def download(self, run_id: int) -> Response:
        """Return the file of a run.

        Raises:
            NotFoundError: there is no such run, or nothing of it to export.
        """
        with open_reader() as reader:
            content = self.content(reader, find_run(reader, run_id))
        return attachment(content, self.mimetype, f"run-{run_id}-{self.name}")


def attachment(content: str | bytes, mimetype: str, name: str) -> Response:
    """Return a file to download."""
    disposition = f'attachment; filename="leukolux-{name}"'
    return Response(content, mimetype=mimetype, headers={"Content-Disposition": disposition})


def _differential(reader: RecordsReader, run: RunRecord) -> str:
    return differential_csv(find_result(reader, run))


EXPORTS: Final = {
    export.name: export
    for export in (
        Export("result.csv", "text/csv", _differential),
        Export("cells.csv", "text/csv", cells_csv),
    )
}
