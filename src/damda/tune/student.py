"""A small language model that learns to read: its losses, its layers, its folder.

Knows: torch's and transformers' calls, where in a row the answer stands. Does not know: where lessons come from, when
to validate or stop (``train``).

Only the answer's tokens are learnt, and only for them the probabilities of the whole vocabulary are computed: with
262,144 words these would cost more than the model itself. Word vectors stay as they are.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from damda import pretrained
from damda.errors import ConfigError
from damda.tune.lessons import Lesson
from damda.tune.train import Recipe, Watch

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}Q: {{ message['content'] }}\nA:\n"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] }}{{ eos_token }}\n"
    "{% else %}{{ message['content'] }}\n\n{% endif %}{% endfor %}"
)
"""For models that were never taught to answer. No words of its own mean anything to it that a passage could not say."""

TOKENS, ANSWER = 1024, 64
"""Of a lesson, and of its answer, at most."""

_TOGETHER = 1536
"""Tokens that are in memory at once, padding included: what a step takes of memory grows with them, not with its rows.
The gradients of more are summed up piece by piece."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a student learns.

    Attributes:
        layers: of the student, fewer than its parent has; 0: all.
        rank: of LoRA's matrices (Hu et al. 2021, arXiv:2106.09685); 0: all weights but the word vectors are trained.
        mix: share of the teacher's probabilities in the loss, the rest are the lesson's answers; 0: no teacher.
        temperature: that both models' probabilities are softened with (Hinton et al. 2015, arXiv:1503.02531).
    """

    layers: int = 0
    rank: int = 0
    mix: float = 0.0
    temperature: float = 2.0


@dataclass(frozen=True, slots=True)
class Row:
    """A lesson as tokens; those from ``begin`` on are the answer and its end."""

    ids: tuple[int, ...]
    begin: int

    @property
    def answers(self) -> int:
        """How many tokens are learnt."""
        return len(self.ids) - self.begin


def together(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows in pieces of about one length, none with more than `_TOGETHER` tokens but one row alone."""
    piece: list[Row] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if piece and (len(piece) + 1) * len(row.ids) > _TOGETHER:
            yield piece
            piece = []
        piece.append(row)
    if piece:
        yield piece


class Student:
    """A model that is trained, in memory, in float32; on the GPU where there is one.

    Args:
        folder: of transformers.
        teacher: of another model with the same vocabulary, where ``way.mix`` wants one.

    Raises:
        WeightsError: a folder can't be loaded.
        ConfigError: the layers can't be cut so, or the vocabularies differ.
    """

    def __init__(self, folder: Path, way: Way, teacher: Path | None = None) -> None:
        import torch

        self.way = way
        self.model, self.tokenizer = pretrained.opened(folder, dtype=torch.float32)
        self._form = pretrained.stored(pretrained.check(folder))
        if not self.tokenizer.chat_template:
            self.tokenizer.chat_template = TEMPLATE
        if self.tokenizer.eos_token is None:
            raise ConfigError(f"{folder}: its tokenizer names no end of a text (eos_token)")
        self._teacher: Any = pretrained.opened(teacher, dtype=torch.float32)[0] if teacher else None
        if self._teacher is not None and self._teacher.config.vocab_size != self.model.config.vocab_size:
            raise ConfigError(
                f"{teacher} and {folder} have other vocabularies: probabilities can't be compared; learn from the "
                "teacher's words instead"
            )
        if way.layers:
            self.model = _with_layers(self.model, way.layers)
        for words in (self.model.get_input_embeddings(), self.model.get_output_embeddings()):
            words.weight.requires_grad_(False)
        if way.rank:
            self.model = _adapted(self.model, way.rank)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model.to(device)
        if self._teacher is not None:
            self._teacher.to(device).eval()

    def row(self, lesson: Lesson) -> Row | None:
        """A lesson's tokens; None: they are too many."""
        said = [{"role": message.role, "content": message.content} for message in lesson.messages()]
        read = self.tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=True, return_dict=True)
        asked = [int(token) for token in read["input_ids"]]
        answer = self.tokenizer(lesson.answer, add_special_tokens=False)["input_ids"]
        ids = (*asked, *(int(token) for token in answer), int(self.tokenizer.eos_token_id))
        return Row(ids, len(asked)) if len(ids) <= TOKENS and len(ids) - len(asked) <= ANSWER else None

    def loss(self, rows: Sequence[Row]) -> Any:  # noqa: ANN401  a torch scalar
        """Mean over the answers' tokens of -log p(token), mixed with the divergence from the teacher, as `Way` says."""
        import torch
        from torch.nn import functional

        fed, wanted = self._batch(rows)
        learnt = wanted >= 0
        logits = self.model(**fed).logits[learnt].float()
        loss = functional.cross_entropy(logits, wanted[learnt])
        if self._teacher is None or not self.way.mix:
            return loss
        with torch.inference_mode():
            taught = self._teacher(**fed).logits[learnt].float()
        soft = self.way.temperature
        apart = functional.kl_div(
            functional.log_softmax(logits / soft, -1),
            functional.log_softmax(taught.clone() / soft, -1),
            log_target=True,
            reduction="batchmean",
        )
        return (1 - self.way.mix) * loss + self.way.mix * soft**2 * apart

    def gradients(self, rows: Sequence[Row], around: Callable[[], AbstractContextManager[Any]] = nullcontext) -> Any:  # noqa: ANN401  as above
        """`loss` of the rows, and its gradients, added to those that the weights have.

        Args:
            around: what the model runs in, e.g. a lower precision.
        """
        whole, answers = 0.0, sum(row.answers for row in rows)
        for some in together(rows):
            with around():
                loss = self.loss(some) * (sum(row.answers for row in some) / answers)
            loss.backward()
            whole = whole + loss.detach()
        return whole

    def _batch(self, rows: Sequence[Row]) -> tuple[dict[str, Any], Any]:
        """What the model is fed, and the token that each of the last positions should give, -1 for none.

        Rows end together: all answers lie among the last positions, the only ones that logits are computed for.
        """
        import torch

        device = self.model.device
        width, last = max(len(row.ids) for row in rows), max(row.answers for row in rows)
        ids = torch.full((len(rows), width), int(self.tokenizer.eos_token_id))
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        wanted = torch.full((len(rows), last + 1), -1)
        for n, row in enumerate(rows):
            ids[n, -len(row.ids) :] = torch.tensor(row.ids)
            mask[n, -len(row.ids) :] = 1
            answer = row.ids[row.begin :]
            wanted[n, -len(answer) - 1 : -1] = torch.tensor(answer)
        fed = {
            "input_ids": ids.to(device),
            "attention_mask": mask.to(device),
            "position_ids": (mask.cumsum(-1) - 1).clamp(min=0).to(device),
            "logits_to_keep": last + 1,
            "use_cache": False,
        }
        return fed, wanted.to(device)

    def mean_loss(self, rows: Sequence[Row]) -> float:
        """`loss` of the rows, without gradients."""
        import torch

        self.model.eval()
        total = 0.0
        with torch.no_grad():
            for some in together(rows):
                total += self.loss(some).item() * sum(row.answers for row in some)
        self.model.train()
        return total / sum(row.answers for row in rows)

    def train(self, rows: Sequence[Row], recipe: Recipe, work: Path, watch: Watch) -> None:
        """From the last checkpoint in ``work``, or from the start."""
        from damda.tune.student_trainer import run

        run(self, rows, recipe, work, watch)

    def save(self, folder: Path) -> None:
        """What is trained, as one safetensors file, in one step."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / "draft"
        save_file({name: weight.detach().contiguous() for name, weight in self._trained()}, str(draft))
        draft.replace(folder / "model.safetensors")

    def load(self, folder: Path) -> None:
        """What `save` wrote."""
        from safetensors.torch import load_file

        kept = load_file(str(folder / "model.safetensors"))
        import torch

        with torch.no_grad():
            for name, weight in self._trained():
                weight.copy_(kept[name])

    def write(self, folder: Path) -> None:
        """Fill a folder with the student as transformers loads it, adapters merged, in 16 bits."""
        import torch

        model = self.model.merge_and_unload() if self.way.rank else self.model
        model.eval().to("cpu", getattr(torch, self._form)).save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _trained(self) -> Iterator[tuple[str, Any]]:
        for name, weight in self.model.named_parameters():
            if weight.requires_grad:
                yield name, weight


def kept_layers(kinds: Sequence[str], count: int) -> list[int]:
    """Which layers a shorter model keeps: spread as evenly as can be, so that the n-th of them is of the kind that the
    n-th of the parent is. (Sliding windows come in a fixed pattern, and what runs a model goes by it.)

    Args:
        kinds: of the parent's layers, first to last.

    Raises:
        ConfigError: there are fewer.
    """
    total = len(kinds)
    if not 1 <= count <= total:
        raise ConfigError(f"the model has {total} layers: give at most so many, not {count}")
    # For each layer of the parent: what the best choice costs that ends with it, and that choice. There is always one:
    # the parent's first layers.
    cost: list[dict[int, tuple[float, tuple[int, ...]]]] = [{}]
    cost[0] |= {n: (float(n**2), (n,)) for n in range(total) if kinds[n] == kinds[0]}
    for at in range(1, count):
        ideal = at * (total - 1) / (count - 1)
        rows: dict[int, tuple[float, tuple[int, ...]]] = {}
        for n in range(total):
            before = [found for last, found in cost[-1].items() if last < n]
            if kinds[n] == kinds[at] and before:
                least, chosen = min(before)
                rows[n] = least + (n - ideal) ** 2, (*chosen, n)
        cost.append(rows)
    return list(min(cost[-1].values())[1])


def _with_layers(model: Any, count: int) -> Any:  # noqa: ANN401  transformers' models
    """The model with some of its layers left out, and all other weights its own."""
    from transformers import AutoModelForCausalLM

    config = model.config.__class__.from_dict(model.config.to_dict())
    kinds = getattr(config, "layer_types", None) or ["same"] * config.num_hidden_layers
    keep = kept_layers(kinds, count)
    config.num_hidden_layers = count
    if getattr(config, "layer_types", None):
        config.layer_types = list(kinds[:count])
    small = AutoModelForCausalLM.from_config(config).float()
    renamed = {}
    for name, weight in model.state_dict().items():
        head, found, tail = name.partition(".layers.")
        if found:
            number, _, rest = tail.partition(".")
            if int(number) not in keep:
                continue
            name = f"{head}.layers.{keep.index(int(number))}.{rest}"
        renamed[name] = weight
    small.load_state_dict(renamed)
    small.tie_weights()
    small.generation_config = model.generation_config
    return small


def _adapted(model: Any, rank: int) -> Any:  # noqa: ANN401  transformers' model, peft's
    from peft import LoraConfig, get_peft_model

    wanted = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_peft_model(model, wanted)
