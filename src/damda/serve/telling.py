"""How the service is: ``/health``, ``/ready``, ``/metrics``.

Knows: the routes. Does not know: what is counted.
"""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from damda.serve.backend import Backend


def routes(backend: Backend) -> APIRouter:
    """The three routes."""
    router = APIRouter(tags=["service"])

    @router.get("/health")
    async def health() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    @router.get("/ready", responses={503: {"description": "Not yet."}})
    async def ready() -> Response:
        """It can answer: the models are loaded and something is stored."""
        is_ready = backend.ready.is_set()
        return JSONResponse({"status": "ready" if is_ready else "loading"}, 200 if is_ready else 503)

    @router.get("/metrics")
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(backend.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
