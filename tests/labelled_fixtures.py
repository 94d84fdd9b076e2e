"""Texts that a tiny classifier can learn to tell apart, and an encoder that knows words."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from damda.types import Kind

RUDE = "엉터리 바보 멍청이 한심한 꺼져".split()
KIND = "감사 친절 문의 안내 예약".split()
FILLER = "오늘 어제 회사 직원 서류 회의 점심 전화 우편 창구 신청 접수 날짜 장소".split()


class WordEncoder:
    """Fits ``Encoder``: the mean of a random vector for each word, so that texts with a word in common are alike."""

    def __init__(self, id: str = "words", dim: int = 32) -> None:
        self.id, self.dim = id, dim
        self.texts = 0

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        self.texts += len(texts)
        vectors = np.stack([sum((self._word(word) for word in text.split()), np.zeros(self.dim)) for text in texts])
        unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return unit.astype(np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def _word(self, word: str) -> NDArray[np.float64]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
        return np.random.default_rng(seed).normal(size=self.dim)


def labelled(count: int, seed: int = 0, noise: float = 0.0) -> list[tuple[str, bool]]:
    """So many texts of each label, in turn; a share ``noise`` of the labels is wrong."""
    draw = np.random.default_rng(seed)
    rows = []
    for n in range(2 * count):
        rude = n % 2 == 0
        words = [*draw.choice(FILLER, 3), draw.choice(RUDE if rude else KIND), str(n)]
        rows.append((" ".join(draw.permutation(words)), bool(rude) ^ bool(draw.random() < noise)))
    return rows


def write(path: Path, rows: Sequence[tuple[str, object]]) -> Path:
    """JSON lines of text and label."""
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
