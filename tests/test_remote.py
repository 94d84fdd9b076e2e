"""Remote against a fake transport, and against a real server on 127.0.0.1 where time and sockets matter."""

import json
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from tracing_fixtures import Start, latest, steps

from damda import trace
from damda.errors import ConfigError, GeneratorError, UnreachableError
from damda.generate.remote import Remote
from damda.generate.thinking import HideThinking
from damda.settings import RemoteSettings
from damda.types import Delta, Message, Usage

KEY = "sk-very-secret-123"
ASK = [Message("system", "규칙"), Message("user", "수도는?")]
Answerer = Callable[[httpx.Request], httpx.Response]


def sse(*chunks: object, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def said(text: str | None = None, finish: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text} if text is not None else {}, "finish_reason": finish}]}


def streamed(body: bytes, **headers: str) -> httpx.Response:
    return httpx.Response(200, content=body, headers={"content-type": "text/event-stream", **headers})


def refused(status: int, message: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message}}, headers=headers)


USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
WHOLE = sse(said(""), said("서울"), said("입니다"), said(finish="stop"), USAGE)


class Server:
    """Answers the n-th request with the n-th answer (the last one for good), and remembers what was asked."""

    def __init__(self, *answers: httpx.Response | Exception, models: httpx.Response | None = None) -> None:
        self.answers, self.models = list(answers), models
        self.asked: list[httpx.Request] = []
        self.slept: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/models"):
            return self.models or httpx.Response(404)
        self.asked.append(request)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)

    def body(self, number: int = 0) -> dict[str, object]:
        body: dict[str, object] = json.loads(self.asked[number].content)
        return body

    def remote(self, *, url: str = "http://llm.test:8000/v1", model: str = "m", retries: int = 2) -> Remote:
        settings = RemoteSettings(url=url, model=model, api_key=KEY, retries=retries, timeout=5)
        return Remote(settings, transport=httpx.MockTransport(self), sleep=self.slept.append)


def text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def failure(server: Server, kind: type[GeneratorError] = GeneratorError, *, retries: int = 2, model: str = "m") -> str:
    with pytest.raises(kind) as caught:
        list(server.remote(retries=retries, model=model).stream(ASK))
    message = str(caught.value)
    assert KEY not in message and "\n" not in message
    return message


def test_what_the_server_had_read_before_stands_in_the_trace(tmp_path: Path, start: Start) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 5}}
    remote = Server(streamed(sse(said("서울"), said(finish="stop"), {"choices": [], "usage": usage}))).remote()
    start(tmp_path)
    with trace.generation(ASK, 9, 0.0, model=lambda: "remote:m@here") as step:
        assert [delta.usage for delta in step.steps(remote.stream(ASK))][-1] == Usage(7, 2)
    (made,) = steps(latest(tmp_path))
    assert made.attributes["gen_ai.usage.cache_read.input_tokens"] == 5 and "damda.guessed" not in made.attributes


def test_streams_text_finish_and_usage() -> None:
    server = Server(streamed(WHOLE))
    deltas = list(server.remote().stream(ASK, max_tokens=9, temperature=0.5, stop=["끝"]))
    assert [delta.text for delta in deltas] == ["서울", "입니다", ""]
    assert deltas[-1] == Delta(finish="stop", usage=Usage(7, 2))
    assert server.body() == {
        "model": "m",
        "messages": [{"role": "system", "content": "규칙"}, {"role": "user", "content": "수도는?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
        "temperature": 0.5,
        "stop": ["끝"],
    }
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert str(server.asked[0].url) == "http://llm.test:8000/v1/chat/completions"


def test_no_stop_is_not_sent() -> None:
    server = Server(streamed(WHOLE))
    list(server.remote().stream(ASK))
    assert "stop" not in server.body()


@pytest.mark.parametrize(
    ("finish", "expected"), [("stop", "stop"), ("length", "length"), ("max_tokens", "length"), ("eos", "stop")]
)
def test_finish(finish: str, expected: str) -> None:
    assert list(Server(streamed(sse(said("가"), said(finish=finish)))).remote().stream(ASK))[-1].finish == expected


def test_a_server_that_ignores_include_usage() -> None:
    deltas = list(Server(streamed(sse(said("가"), said(finish="stop")))).remote().stream(ASK))
    assert deltas[-1] == Delta(finish="stop", usage=None)


def test_a_server_that_ignores_stream() -> None:
    body = {"choices": [{"message": {"content": "서울"}, "finish_reason": "length"}], "usage": {"prompt_tokens": 1}}
    deltas = list(Server(httpx.Response(200, json=body)).remote().stream(ASK))
    assert (text(deltas), deltas[-1]) == ("서울", Delta(finish="length", usage=Usage(1, 0)))


def test_events_of_any_make() -> None:
    """CRLF, comments, no space after the colon, U+2028 unescaped, no [DONE], no last line end; a wrong type."""
    first = json.dumps(said("가\u2028나"), ensure_ascii=False)
    body = f": ping\r\n\r\nevent: x\r\ndata:{first}\r\n\r\ndata: {json.dumps(said(finish='stop'))}".encode()
    assert text(list(Server(streamed(body)).remote().stream(ASK))) == "가\u2028나"
    plain = httpx.Response(200, content=sse(said("다"), said(finish="stop")), headers={"content-type": "text/plain"})
    assert text(list(Server(plain).remote().stream(ASK))) == "다"


def test_done_without_a_line_end() -> None:
    body = sse(said("가"))[:-2]
    assert body.endswith(b"[DONE]")
    assert list(Server(streamed(body)).remote().stream(ASK))[-1].finish == "stop"


def test_thoughts_are_not_shown() -> None:
    thought = {"choices": [{"delta": {"reasoning_content": "음...", "content": None}}]}
    words = ("<th", "ink>비밀</thi", "nk>", "\n\n", "답<think>")
    body = sse(thought, *map(said, words), said(finish="stop"))
    assert text(list(Server(streamed(body)).remote().stream(ASK))) == "답<think>"


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        (["<think>a</think>b"], "b"),
        (list("<think>a</think>\n b</think>"), "b</think>"),
        (["  <thi", "s> is"], "  <this> is"),
        (["<thi"], "<thi"),
        (["<think>no end"], ""),
        (["x <think>y</think>"], "x <think>y</think>"),
        ([""], ""),
    ],
)
def test_hide_thinking(parts: list[str], shown: str) -> None:
    hide = HideThinking()
    assert "".join([hide.feed(part) for part in parts] + [hide.rest()]) == shown


# --- complete


PLAIN = sse(
    {"choices": [{"index": 0, "text": " 서울", "finish_reason": None}]},
    {"choices": [{"index": 0, "text": "<think>", "finish_reason": "length"}]},
    USAGE,
)


def test_completes_text() -> None:
    server = Server(streamed(PLAIN))
    deltas = list(server.remote().complete("수도는", max_tokens=9, temperature=0.5, stop=["끝"]))
    assert [delta.text for delta in deltas] == [" 서울", "<think>", ""], "a raw text has no thoughts to hide"
    assert deltas[-1] == Delta(finish="length", usage=Usage(7, 2))
    assert server.body() == {
        "model": "m",
        "prompt": "수도는",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
        "temperature": 0.5,
        "stop": ["끝"],
    }
    assert str(server.asked[0].url) == "http://llm.test:8000/v1/completions"


def test_completing_tries_again() -> None:
    server = Server(refused(503, "busy"), refused(429, "slow", **{"retry-after": "3"}), streamed(PLAIN))
    assert text(list(server.remote().complete("x"))) == " 서울<think>" and server.slept[1] == 3.0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(404, html="<h1>Not Found</h1>"), "has no /completions (404)"),
        (refused(500, f"broken, {KEY}"), "answered 500: broken, ***"),
        (httpx.Response(200, text="Ollama is running"), "sent no completion ("),
        (streamed(sse({"choices": [{"text": " 서울"}]}, done=False)), "broke off in the middle of its answer (after 3"),
        (httpx.ConnectError("refused"), "no connection to http://llm.test:8000/v1"),
    ],
)
def test_completing_fails_as_answering_does(answer: httpx.Response | Exception, said: str) -> None:
    with pytest.raises(GeneratorError) as caught:
        list(Server(answer).remote().complete("x"))
    assert said in str(caught.value) and KEY not in str(caught.value)


# --- failures


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_tries_again(status: int) -> None:
    server = Server(refused(status, "busy"), refused(status, "busy"), streamed(WHOLE))
    assert text(list(server.remote().stream(ASK))) == "서울입니다"
    assert len(server.slept) == 2 and 0.5 <= server.slept[0] <= 0.75 and 1.0 <= server.slept[1] <= 1.5


def test_gives_up() -> None:
    server = Server(refused(503, f"model is loading, {KEY}"))
    assert failure(server) == "http://llm.test:8000/v1 answered 503: model is loading, ***"
    assert len(server.asked) == 3


@pytest.mark.parametrize("header", ["3", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_retry_after(header: str) -> None:
    server = Server(refused(429, "slow", **{"retry-after": header}), streamed(WHOLE))
    list(server.remote().stream(ASK))
    assert server.slept == [3.0 if header == "3" else 0.0]


def test_retry_after_that_is_too_long() -> None:
    server = Server(refused(429, "slow", **{"retry-after": "3600"}))
    assert "3600 s" in failure(server) and not server.slept


def test_an_empty_account_is_no_reason_to_wait() -> None:
    body = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    server = Server(httpx.Response(429, json=body))
    assert "quota" in failure(server) and len(server.asked) == 1


def test_connection_that_fails_once() -> None:
    server = Server(httpx.ConnectError("refused"), streamed(WHOLE))
    assert text(list(server.remote().stream(ASK))) == "서울입니다"


def test_unreachable() -> None:
    message = failure(Server(httpx.ConnectError("refused")), UnreachableError)
    assert "http://llm.test:8000/v1" in message and "remote.url" in message


@pytest.mark.parametrize("status", [401, 403])
def test_key_refused(status: int) -> None:
    server = Server(refused(status, f"Incorrect API key provided: {KEY}"))
    message = failure(server)
    assert "remote.api_key" in message and "DAMDA_REMOTE__API_KEY" in message and len(server.asked) == 1


def test_unknown_model_lists_what_there_is() -> None:
    models = httpx.Response(200, json={"data": [{"id": "qwen3"}, {"id": "gemma3"}]})
    message = failure(Server(refused(404, "no such model"), models=models), model="qwen33")
    assert "'qwen33'" in message and "qwen3, gemma3" in message


def test_wrong_path() -> None:
    assert "/v1" in failure(Server(httpx.Response(404, html="<h1>Not Found</h1>")))


def test_too_long() -> None:
    reason = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"
    message = failure(Server(refused(400, reason)))
    assert "too long" in message and "4096" in message and "answer.passages" in message


def test_any_other_400_is_told_as_it_is() -> None:
    assert failure(Server(refused(400, "bad role"))) == "http://llm.test:8000/v1 answered 400: bad role"


def test_leaves_out_what_the_server_does_not_take() -> None:
    """OpenAI's newer models want max_completion_tokens and no temperature; Mistral wanted no stream_options."""
    extra = {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}
    server = Server(
        refused(400, "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."),
        refused(400, "Unsupported value: 'temperature' does not support 0 with this model."),
        httpx.Response(422, json=extra),
        streamed(WHOLE),
    )
    remote = server.remote(retries=0)
    assert text(list(remote.stream(ASK, max_tokens=9))) == "서울입니다"
    list(remote.stream(ASK, max_tokens=9))
    assert len(server.asked) == 5  # it remembers
    assert set(server.body(-1)) == {"model", "messages", "stream", "max_completion_tokens"}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<!doctype html><title>Login</title>"),
        httpx.Response(200, text="Ollama is running"),
        httpx.Response(200, json={"models": []}),
        httpx.Response(200, json=[1]),
        streamed(b"data: {not json\n\n"),
    ],
)
def test_garbage(answer: httpx.Response) -> None:
    server = Server(answer)
    message = failure(server)
    assert "no chat completion" in message and "/v1" in message and len(server.asked) == 1


def test_redirects_are_not_followed() -> None:
    assert "remote.url" in failure(Server(httpx.Response(307, headers={"location": "https://else.test"})))


def test_dies_after_some_text() -> None:
    server = Server(streamed(sse(said("서울"), said("입"), done=False)))
    deltas: list[Delta] = []
    with pytest.raises(GeneratorError, match="broke off.*after 3 characters"):
        deltas.extend(server.remote().stream(ASK))
    assert len(server.asked) == 1, "what was shown can't be taken back: no second try"


def test_dies_before_any_text() -> None:
    server = Server(streamed(sse(said(""), done=False)), streamed(WHOLE))
    assert text(list(server.remote().stream(ASK))) == "서울입니다"


def test_error_in_the_stream() -> None:
    body = sse(said("서"), {"error": {"message": f"CUDA out of memory {KEY}"}})
    assert "CUDA out of memory *** (after 1 characters)" in failure(Server(streamed(body)))


def test_content_filter_is_no_stop() -> None:
    assert "content_filter (after 1" in failure(Server(streamed(sse(said("서"), said(finish="content_filter")))))


def test_the_only_model() -> None:
    server = Server(streamed(WHOLE), models=httpx.Response(200, json={"data": [{"id": "only"}]}))
    remote = server.remote(model="")
    assert remote.id == "remote:only@llm.test:8000"
    list(remote.stream(ASK))
    assert server.body()["model"] == "only"


def test_several_models_and_none_chosen() -> None:
    models = httpx.Response(200, json={"data": [{"id": "a"}, {"id": "b"}]})
    server = Server(streamed(WHOLE), models=models)
    message = failure(server, model="")
    assert "a, b" in message and "remote.model" in message and not server.asked


def test_models_while_the_server_is_busy() -> None:
    server = Server(streamed(WHOLE), models=refused(503, "loading"))
    assert "503" in failure(server, model="") and len(server.slept) == 2
    with pytest.raises(GeneratorError, match="503"):
        _ = server.remote(model="").id


def test_id_and_repr_tell_no_secrets() -> None:
    remote = Server().remote(url="https://user:pa55@llm.test/v1/")
    assert remote.id == "remote:m@llm.test"
    for shown in (repr(remote), str(remote), remote.id):
        assert KEY not in shown and "pa55" not in shown


@pytest.mark.parametrize(
    "url", ["", "llm.test/v1", "ftp://llm.test", "http://", "http://llm.test:port/v1", "http://[::1"]
)
def test_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match=r"remote\.url"):
        Remote(RemoteSettings(url=url))


def test_key_that_is_none() -> None:
    with pytest.raises(ConfigError, match=r"remote\.api_key") as caught:
        Remote(RemoteSettings(url="http://a.test", api_key="열쇠-secret"))
    assert "secret" not in str(caught.value)


@contextmanager
def serve(act: Callable[[BaseHTTPRequestHandler], object]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            act(self)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def test_real_silence() -> None:
    ask = threading.Event()

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(sse(said("서울"), done=False))
        ask.wait(5)

    with serve(act) as url:
        began = time.monotonic()
        with pytest.raises(UnreachableError, match=r"nothing for 0\.3 s.*after 2 characters"):
            list(Remote(RemoteSettings(url=url, model="m", timeout=0.3)).stream(ASK))
        assert time.monotonic() - began < 3
        ask.set()


def test_real_death_in_the_middle_of_a_character() -> None:
    whole = sse(said("서울"), said("입"), done=False)
    part = whole[: whole.index("입".encode()) + 1]
    with serve(lambda handler: handler.wfile.write(part)) as url:
        with pytest.raises(GeneratorError, match="broke off.*after 2 characters"):
            list(Remote(RemoteSettings(url=url, model="m")).stream(ASK))


@pytest.mark.parametrize("plain", [False, True], ids=["stream", "complete"])
def test_real_text_arrives_before_the_end_and_closing_early_hangs_up(plain: bool) -> None:
    hung_up = threading.Event()

    def act(handler: BaseHTTPRequestHandler) -> None:
        try:
            for _ in range(500):
                handler.wfile.write(sse({"choices": [{"text": "가"}]} if plain else said("가"), done=False))
                time.sleep(0.01)
        except OSError:
            hung_up.set()

    with serve(act) as url:
        remote = Remote(RemoteSettings(url=url, model="m"))
        stream = remote.complete("x") if plain else remote.stream(ASK)
        assert next(stream).text == "가"
        assert isinstance(stream, Generator)
        stream.close()
        assert hung_up.wait(3), "the server kept on writing"


@pytest.mark.parametrize("plain", [False, True], ids=["stream", "complete"])
def test_real_headers_that_never_come(plain: bool) -> None:
    """A server that takes the request and says nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = RemoteSettings(url=f"http://127.0.0.1:{silent.getsockname()[1]}/v1", model="m", timeout=0.3)
        remote = Remote(settings)
        with pytest.raises(UnreachableError, match=r"sent nothing for 0\.3 s: raise remote\.timeout"):
            list(remote.complete("x") if plain else remote.stream(ASK))


def test_real_closing_while_the_server_is_silent_hangs_up() -> None:
    hung_up = threading.Event()

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(sse(said("가"), done=False))
        if handler.rfile.read(1) == b"":  # nothing more comes: the other end closed
            hung_up.set()

    with serve(act) as url:
        stream = Remote(RemoteSettings(url=url, model="m")).stream(ASK)
        assert next(stream).text == "가"
        assert isinstance(stream, Generator)
        stream.close()
        assert hung_up.wait(3), "the connection stayed open"


def test_real_closed_port() -> None:
    with serve(lambda handler: None) as url:
        pass
    slept: list[float] = []
    with pytest.raises(UnreachableError, match="no connection"):
        list(Remote(RemoteSettings(url=url, model="m"), sleep=slept.append).stream(ASK))
    assert len(slept) == 2


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serve(lambda handler: handler.wfile.write(WHOLE)) as url:
        assert text(list(Remote(RemoteSettings(url=url, model="m", retries=0)).stream(ASK))) == "서울입니다"
