"""MkDocs hook: fills the generated parts of pages, adds generated pages and pictures of elsewhere.

A page says where a generated part belongs with a line ``<!-- generated: NAME -->``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from api_routes import api_routes
from command_line import command_line
from error_codes import error_index, error_pages
from mkdocs.structure.files import File
from settings_table import settings_table
from state_diagram import state_diagram, state_table

ROOT: Final = Path(__file__).resolve().parents[2]
PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "api": api_routes,
    "commands": command_line,
    "errors": error_index,
    "settings": settings_table,
    "state-diagram": state_diagram,
    "state-table": state_table,
}
PICTURES: Final = {
    "pictures/cells.png": "hal/sim/contact_sheet.png",
    **{
        f"pictures/evidence/{picture.name}": str(picture.relative_to(ROOT))
        for picture in (ROOT / "models" / "cards" / "evidence").glob("*.png")
    },
}
"""Where a page finds a picture that the program makes, and where it lies."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pictures of :data:`PICTURES` and a page for each error code."""
    for shown, kept in PICTURES.items():
        files.append(File.generated(config, shown, abs_src_path=str(ROOT / kept)))
    for shown, page in error_pages().items():
        files.append(File.generated(config, shown, content=page))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each generated part.  Raises KeyError for one that nothing generates."""
    return re.sub(
        r"^<!-- generated: ([a-z-]+) -->$",
        lambda match: PARTS[match[1]](),
        markdown,
        flags=re.MULTILINE,
    )
