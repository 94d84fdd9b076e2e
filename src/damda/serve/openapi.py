"""The OpenAPI description, made to say what really happens.

Knows: that requests which can't be used are answered with 400 and OpenAI's shape, where FastAPI would say 422 and its
own; where what answers look like is put in. Does not know: what they look like.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from damda.serve.schemas import ERROR, SUCCESS


def described(app: FastAPI) -> None:
    """Give the app its description."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes, tags=None
            )
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            schemas["Error"] = ERROR
            for path, methods in schema["paths"].items():
                for method, operation in methods.items():
                    operation["responses"].pop("422", None)
                    if content := SUCCESS.get((method, path)):
                        operation["responses"]["200"]["content"] = content
            schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"key": []}, {}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
