"""Writes the parts of the documentation that can be read off the code or off result files.

    python tools/docs.py                 writes them
    python tools/docs.py --check         exits with 1 and names what is stale
    python tools/docs.py --transcripts   runs the README's first command again and writes down what it says

docs/settings.md comes from damda.config, docs/cli.md from the command tree, and the tables between
``<!-- numbers:start -->`` and ``<!-- numbers:end -->`` in both READMEs, docs/peers.md and docs/serving.md from
benchmarks/results/*.json. A result file that is missing has no row.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, Literal, get_args, get_origin

import bench_tables
import compress_tables
import distill_tables
import peer_tables
import plan_tables
import serve_tables
import tune_tables
from pydantic.fields import FieldInfo
from typer.main import get_command

from damda.cli import commands
from damda.settings import Section, Settings

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MADE = "<!-- Written by tools/docs.py. Change the code, then run it. -->"
START, END = "<!-- numbers:start -->", "<!-- numbers:end -->"
TRANSCRIPT = re.compile(r"(?<=<!-- transcript -->\n```console\n)\$ damda (.*)\n([^`]*)(?=```\n)")
MODES = ("bm25", "dense", "rrf", "convex", "hybrid")
LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: int = 0) -> str:
    """A Markdown table; the last ``right`` columns are aligned to the right."""
    rules = ["---"] * (len(head) - right) + ["---:"] * right
    lines = [head, rules, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# --- docs/settings.md ------------------------------------------------------------------------------------------------


def settings_page() -> str:
    """Every setting: key, environment variable, default, meaning."""
    top = {name: info for name, info in Settings.model_fields.items() if section_of(info) is None}
    parts = [
        "# Settings",
        MADE,
        "Read in this order, the later wins: the defaults below, what tuning has adopted for these documents (`damda "
        "tune status`),\n`damda.toml` (`--config FILE`, else `./damda.toml`, else the one beside the documents), "
        "environment variables,\ncommand-line flags (`--set KEY=VALUE` and the named ones). An unknown key is an "
        "error. Lists in an environment variable\nare separated by commas. `damda doctor --settings` prints the "
        "values in force.",
        "`DAMDA_CACHE` is no setting: it names the folder for models (default: `damda` in the user's cache folder).",
        "## Top level",
        _settings_table("", top),
    ]
    for name, info in Settings.model_fields.items():
        section = section_of(info)
        if section is not None:
            parts += [f"## [{name}]", section.__doc__ or "", _settings_table(name, section.model_fields)]
    return "\n\n".join(parts) + "\n"


def section_of(info: FieldInfo) -> type[Section] | None:
    """The section that a field of Settings holds; None for a plain value."""
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _settings_table(section: str, fields: Mapping[str, FieldInfo]) -> str:
    rows = []
    for name, info in fields.items():
        variable = "DAMDA_" + (f"{section.upper()}__" if section else "") + name.upper()
        default = json.dumps(info.default) if not isinstance(info.default, tuple) else json.dumps([*info.default])
        shown = "none" if info.default is None else f"`{default}`"
        rows.append([f"`{name}`", shown, "; ".join(filter(None, [info.description or "", _limits(info)])), variable])
    return table(("key", "default", "meaning", "environment"), rows)


def _limits(info: FieldInfo) -> str:
    if get_origin(info.annotation) is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in get_args(info.annotation))
    found = [
        f"{LIMITS[name]} {getattr(limit, name)}" for limit in info.metadata for name in LIMITS if hasattr(limit, name)
    ]
    return ", ".join(found)


# --- docs/cli.md -----------------------------------------------------------------------------------------------------


def cli_page() -> str:
    """Every command with its arguments and options, from the command tree itself."""
    root: Any = get_command(commands())
    parts = ["# Command line", MADE, fill(root.help, 110), fill(root.epilog, 110)]
    for name, command in _leaves(root):
        usage = " ".join(["damda", name, *(_argument(p) for p in command.params if not _is_option(p)), "[OPTIONS]"])
        parts += [f"## damda {name}", command.help.strip(), f"```\n{usage}\n```"]
        rows = [[_names(param), _default(param), param.help or ""] for param in command.params]
        parts.append(table(("argument or option", "default", "meaning"), rows))
        examples = re.sub(r"^Examples?: ", "", command.epilog or "")
        if examples:
            parts.append("```console\n" + "\n".join(f"$ {line}" for line in examples.split("  |  ")) + "\n```")
    return "\n\n".join(parts) + "\n"


def _leaves(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401  as below
    """Commands that do something, with the names that lead to them."""
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def _is_option(param: Any) -> bool:  # noqa: ANN401  typer vendors click; its parameters have no public type
    return bool(param.opts[0].startswith("-"))


def _argument(param: Any) -> str:  # noqa: ANN401
    return str(param.name).upper() if param.required else f"[{param.name.upper()}]"


def _names(param: Any) -> str:  # noqa: ANN401
    if not _is_option(param):
        return f"`{param.name.upper()}`"
    takes = "" if param.is_flag else f" `{param.metavar or param.name.strip('_').upper()}`"
    return ", ".join(f"`{option}`" for option in sorted(param.opts, key=len)) + takes


def _default(param: Any) -> str:  # noqa: ANN401
    if not _is_option(param) and param.required:
        return "required"
    told = isinstance(param.default, str | int | float) and not isinstance(param.default, bool) and param.default != ""
    return f"`{param.default}`" if told else ""


# --- numbers ---------------------------------------------------------------------------------------------------------

WORDS = {
    "en": {
        "retrieval": "Passage search, nDCG@10 of documents. `hybrid` is the default; the last two columns compare it "
        "with the better\nof `bm25` and `dense` (paired randomisation test).",
        "answers": "Extractive answers at the default threshold: the gold answer stands in the three quotes, in the "
        "first one;\nrefused when the answering passage was hidden from the search; refused although it was there; "
        "F1 of refusing.",
        "lab": "Ways of turning text into vectors, by themselves, over 2,000 documents (`damda lab encoders`): what "
        "they find,\nSpearman's correlation with people on pairs of sentences, and their time. `mean` is the encoder.",
        "representation": "representation",
        "dimensions": "dimensions",
        "question": "question, ms",
        "speed": "documents/s",
        "other": "Other measurements; each file in `benchmarks/results` says what was run.",
        "source": "questions of",
        "quotes": "in 3 quotes",
        "first": "in the first",
        "removed": "refused, hidden",
        "wrongly": "refused wrongly",
        "better": "over the better half",
        "what": "measured",
        "figure": "figure",
        "machine": "Machine",
        "none": "No results yet.",
    },
    "ko": {
        "retrieval": "문단 검색의 문서 단위 nDCG@10. 기본값은 `hybrid`이고, 마지막 두 열은 `bm25`와 `dense` 가운데\n"
        "나은 쪽과 비교한 값입니다(대응 표본 무작위화 검정).",
        "answers": "추출형 답변을 기본 문턱값에서 잰 결과. 정답이 인용 세 개 안에 있는 비율, 첫 인용에 있는 비율,\n"
        "정답 문단을 숨겼을 때 답하지 않은 비율, 정답 문단이 있는데도 답하지 않은 비율, 거절의 F1입니다.",
        "lab": "글을 벡터로 바꾸는 방법을 하나씩, 문서 2,000개에서 잰 결과(`damda lab encoders`): 찾는 것,\n"
        "문장 쌍에 대한 사람 판단과의 스피어먼 상관, 드는 시간. `mean`이 기본 인코더입니다.",
        "representation": "표현",
        "dimensions": "차원",
        "question": "질문(ms)",
        "speed": "문서/초",
        "other": "그 밖의 측정값. 무엇을 돌렸는지는 `benchmarks/results`의 파일에 적혀 있습니다.",
        "source": "질문 출처",
        "quotes": "인용 3개 안",
        "first": "첫 인용",
        "removed": "숨겼을 때 거절",
        "wrongly": "잘못 거절",
        "better": "나은 쪽과의 차",
        "what": "측정",
        "figure": "값",
        "machine": "기계",
        "none": "아직 결과가 없습니다.",
    },
}


# Result file and keys; what the figure is called in either language.
FIGURES = (
    (
        "encode.damda_passages_a_cpu_second",
        "encoder: passages of 200 characters a CPU second, one thread",
        "인코더: 200자 문단 처리량(CPU 1초, 스레드 하나)",
    ),
    (
        "encode.sentence_transformers_passages_a_cpu_second",
        "the same weights in sentence-transformers (torch, float32)",
        "같은 가중치, sentence-transformers(torch, float32)",
    ),
    ("encode.ratio", "ratio of the two", "두 값의 비"),
    ("encode.ratio_to_batch_8", "ratio when it is given its best batch size, 8", "최적 배치 크기 8을 주었을 때의 비"),
    ("encode.mean_cosine_between_them", "mean cosine between their vectors", "두 벡터의 평균 코사인"),
    ("scale.passages", "search: passages in the index", "검색: 색인한 문단 수"),
    ("scale.hybrid.p50_ms", "hybrid, median, ms", "hybrid 중앙값(ms)"),
    ("scale.hybrid.p95_ms", "hybrid, 95th percentile, ms", "hybrid 95백분위(ms)"),
    ("scale.bm25.p50_ms", "bm25, median, ms", "bm25 중앙값(ms)"),
    (
        "scale.exact_scan_in_numpy.recall_of_its_ten_by_the_index",
        "share of the exact ten nearest vectors that the index finds",
        "정확한 최근접 벡터 10개 가운데 색인이 찾은 비율",
    ),
    ("start.runs.help.wall_s", "start: `damda --help`, s", "시작: `damda --help`(초)"),
    ("start.runs.ask.wall_s", "`damda ask` in a new process, s", "새 프로세스의 `damda ask`(초)"),
    (
        "start.ask_over_slowest_load",
        "over its slowest unavoidable load (LanceDB, Kiwi or encoder)",
        "가장 느린 필수 적재(LanceDB, Kiwi, 인코더 중 하나) 대비",
    ),
    ("serve.at_8.searches_a_second", "serve: searches a second, 8 clients", "서비스: 초당 검색, 클라이언트 8"),
    ("serve.at_8.search_p95_ms", "95th percentile, ms", "95백분위(ms)"),
    (
        "serve.at_8.embeddings_over_plain_server",
        "embeddings a second over a plain server with torch, same weights",
        "같은 가중치의 torch 서버 대비 초당 임베딩(배)",
    ),
    ("tracing.search.added_percent", "tracing: of a search's CPU time, %", "추적: 검색 CPU 시간 대비(%)"),
    ("ingest.megabytes", "ingest: folder, MB", "색인: 폴더(MB)"),
    ("ingest.passages", "passages made of it", "만들어진 문단 수"),
    ("ingest.wall_s", "first run, s", "첫 실행(초)"),
    ("ingest.times_faster", "times faster than step by step on one thread", "한 스레드로 차례차례 할 때보다(배)"),
    ("ingest.peak_memory_mb", "peak memory, MB", "최대 메모리(MB)"),
    ("ingest.unchanged_again.wall_s", "second run, nothing changed, s", "바뀐 것 없는 두 번째 실행(초)"),
    (
        "personal.synthetic.held out.all.f1",
        "personal data: F1 on made-up texts, held-out half",
        "개인정보: 만든 글의 F1(따로 둔 절반)",
    ),
    (
        "injection.planted_in_passages.held out.flagged",
        "planted instructions: share flagged, held-out half (24 passages)",
        "심어 둔 지시문: 찾은 비율(따로 둔 절반, 24개 문단)",
    ),
    (
        "injection.ordinary.ko_qa passages.share",
        "planted instructions: share of ordinary passages flagged",
        "심어 둔 지시문: 보통 문단을 잘못 짚은 비율",
    ),
    (
        "tune-reranker.result.verdict.aim.before",
        "nDCG@10 of the hybrid on held-out questions of klue-mrc-train and tydiqa-goldp-ko-train",
        "따로 둔 klue-mrc-train, tydiqa-goldp-ko-train 질문에서 hybrid의 nDCG@10",
    ),
    (
        "tune-reranker.result.verdict.aim.after",
        "the same with a cross-encoder that `damda tune reranker` made of 2,454 others",
        "다른 질문 2,454개로 `damda tune reranker`가 만든 크로스 인코더를 더했을 때",
    ),
    (
        "classifier.toxic_ko.trained on the first half, measured on the second.auc.value",
        "classifier: AUC on toxic comments, trained on the other half",
        "분류기: 악성 댓글 AUC(다른 절반으로 학습)",
    ),
)


def numbers(language: str) -> str:
    """The tables of all result files that there are."""
    words = WORDS[language]
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in _result_files()}
    other = _other(results, words, list(WORDS).index(language))
    parts = [_retrieval(results, words), _answers(results, words), _lab(results, words), other]
    dates: dict[str, set[str]] = {}
    for result in results.values():
        dates.setdefault(_machine(result), set()).add(result["date"])
    machines = "; ".join(f"{name}, {', '.join(sorted(on))}" for name, on in sorted(dates.items()))
    parts.append(fill(f"{words['machine']}: {machines}.", 112) if machines else words["none"])
    return "\n\n".join(part for part in parts if part)


def _result_files() -> list[Path]:
    """All but those of the peers, which have a page of their own."""
    return sorted(path for path in RESULTS.glob("*.json") if not path.stem.startswith("peers-"))


def _sources(results: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Any]]:
    """(source with its number of questions, its row) over all result files of one kind."""
    for name, result in results.items():
        for source, row in result.get("sources", {}).items() if name.startswith(f"{kind}-") else ():
            asked = f" ({row['questions']:,})" if "questions" in row else ""
            yield source + asked, row | {"threshold": result.get("default_threshold", 0)}


def _retrieval(results: Mapping[str, Any], words: Mapping[str, str]) -> str:
    rows = []
    for source, row in _sources(results, "retrieval"):
        against = row["hybrid_minus_better_half"]
        scores = [f"{row['modes'][mode]['ndcg@10']:.3f}" for mode in MODES]
        rows.append([source, *scores, f"{against['ndcg@10']:+.3f}", f"{against['p']:.4f}"])
    head = (words["source"], *MODES, words["better"], "p")
    return f"{words['retrieval']}\n\n{table(head, rows, len(head) - 1)}" if rows else ""


def _answers(results: Mapping[str, Any], words: Mapping[str, str]) -> str:
    columns = ("gold_in_quotes", "gold_in_first_quote", "refused_when_removed", "refused_wrongly", "refusal_f1")
    rows = []
    for source, row in _sources(results, "answers"):
        shares = row.get(f"{row['threshold']:g}")
        if shares:
            rows.append([source, *(f"{shares[column]:.3f}" for column in columns)])
    head = (words["source"], words["quotes"], words["first"], words["removed"], words["wrongly"], "F1")
    return f"{words['answers']}\n\n{table(head, rows, len(columns))}" if rows else ""


def _lab(results: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """What every representation finds, what is alike to it, and its time; one table a result file."""
    tables = []
    for name, result in results.items():
        if name.startswith("lab-"):
            sets = list(result["pairs"])
            rows = [
                [
                    row["name"],
                    f"{row['metrics']['ndcg@10']:.3f}",
                    *(f"{row['similarity'][pairs][0]:.3f}" for pairs in sets),
                    "–" if row["dim"] is None else f"{row['dim']:,}",
                    f"{row['query_ms']:.1f}",
                    "–" if row["passages_per_second"] is None else f"{row['passages_per_second']:,.0f}",
                ]
                for row in result["rows"]
            ]
            head = (words["representation"], "nDCG@10", *sets, words["dimensions"], words["question"], words["speed"])
            tables.append(f"{words['lab']}\n\n{table(head, rows, len(head) - 1)}")
    return "\n\n".join(tables)


def _other(results: Mapping[str, Any], words: Mapping[str, str], language: int) -> str:
    """One line a figure, in the order of FIGURES; what no file has is left out."""
    rows = []
    for key, *labels in FIGURES:
        value: Any = results
        for step in key.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, int | float):
            rows.append([labels[language], f"{round(value, 4):,}"])
    return f"{words['other']}\n\n{table((words['what'], words['figure']), rows, 1)}" if rows else ""


def _machine(result: Mapping[str, Any]) -> str:
    about = result["machine"]
    return f"{about['processor']}, {about['memory_gib']:.0f} GiB, Python {about['python']}"


def with_numbers(text: str, made: str) -> str:
    """A page with fresh tables between the markers."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"a page has lost its markers {START} and {END}")
    return f"{before}{START}\n{made}\n{END}{after}"


# --- transcripts -----------------------------------------------------------------------------------------------------


def transcript(arguments: str) -> str:
    """What a command says on stdout, run from the repository with an index of its own."""
    with tempfile.TemporaryDirectory() as home:
        program = "import sys; sys.argv[0] = 'damda'; from damda.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", program, *shlex.split(arguments)],
            cwd=ROOT,
            env=os.environ | {"DAMDA_HOME": home},
            stdout=subprocess.PIPE,
            check=False,
        )
        return done.stdout.decode("utf-8").rstrip("\n") + "\n"


def with_transcripts(text: str) -> str:
    """A page whose marked transcripts are made again."""
    return TRANSCRIPT.sub(lambda match: f"$ damda {match[1]}\n{transcript(match[1])}", text)


# --- writing ---------------------------------------------------------------------------------------------------------


def pages() -> dict[Path, str]:
    """Path -> what it should hold."""
    readmes = {ROOT / "README.md": "en", ROOT / "README.ko.md": "ko"}
    tables = {path: numbers(language) for path, language in readmes.items()}
    tables[ROOT / "docs" / "peers.md"] = peer_tables.tables(RESULTS, table)
    tables[ROOT / "docs" / "serving.md"] = serve_tables.tables(RESULTS, table)
    tables[ROOT / "docs" / "compressing.md"] = compress_tables.tables(RESULTS, table)
    tables[ROOT / "docs" / "distilling.md"] = distill_tables.tables(RESULTS, table)
    tables[ROOT / "docs" / "engines.md"] = bench_tables.tables(RESULTS, table)
    tables[ROOT / "docs" / "planning.md"] = plan_tables.tables(RESULTS, table)
    tables[ROOT / "docs" / "tuning.md"] = tune_tables.tables(RESULTS, table)
    made = {path: with_numbers(path.read_text(encoding="utf-8"), text) for path, text in tables.items()}
    return made | {ROOT / "docs" / "settings.md": settings_page(), ROOT / "docs" / "cli.md": cli_page()}


def main() -> None:
    """Write what is stale, or with ``--check`` only name it."""
    wanted = pages()
    if "--transcripts" in sys.argv[1:]:
        wanted = {path: with_transcripts(text) for path, text in wanted.items()}
    stale = {
        path: text for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
    if "--check" in sys.argv[1:]:
        raise SystemExit(f"stale: {names}; run python tools/docs.py" if stale else 0)
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"written: {names}\n" if stale else "nothing to do\n")


if __name__ == "__main__":
    main()
