"""The page: plain files, sent as they are, and Swagger UI's for the interface.

Knows: where the files lie. Does not know: what is in them.
"""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

_FILES = Path(__file__).parent / "page"
_SWAGGER = Path(str(files("fastapi_offline"))) / "static"
# Swagger UI sets style attributes.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DOCS = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>damda: the interface</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"><div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/page/docs.js"></script></html>
"""


def routes() -> APIRouter:
    """The page, and that of the interface."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index() -> Response:
        return FileResponse(_FILES / "index.html", headers={"Cache-Control": "no-cache"})

    @router.get("/docs")
    async def docs() -> Response:
        return HTMLResponse(_DOCS, headers={"Content-Security-Policy": _CSP})

    return router


def mount(app: FastAPI) -> None:
    """The files that the two pages load."""
    app.mount("/page", _Fresh(directory=_FILES), name="page")
    app.mount("/docs", StaticFiles(directory=_SWAGGER), name="docs")


class _Fresh(StaticFiles):
    """Asked for again each time (it is answered "not modified"): after an update, no old script meets a new service."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """As ``StaticFiles``."""
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response
