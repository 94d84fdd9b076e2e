"""Any transformer with pooling as int8 ONNX, by torch's exporter and onnxruntime's quantiser.

Knows: what the exporter needs to be told. Does not know: BERT, which damda writes by itself, faster to run
(``embed/bert.py``). Imports torch.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from sentence_transformers import SentenceTransformer

from damda.errors import EncoderError

_ONE_FILE = 1_800_000_000
"""Bytes of weights that fit into one ONNX file; its format ends at 2 GiB."""


class _Whole(torch.nn.Module):
    """Ids and mask -> unit vectors."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        found = self.model({"input_ids": input_ids, "attention_mask": attention_mask})
        return found["sentence_embedding"]


def write(model: SentenceTransformer, path: Path) -> None:
    """``input_ids`` and ``attention_mask``, int64 (batch, tokens) -> ``sentence_embedding``, float32 (batch, dim).

    Weights are float32; those of more than about 2 GB stand beside the graph, as ``model.onnx.data``.

    Raises:
        EncoderError: torch can't export this architecture.
    """
    ids = torch.ones((2, 8), dtype=torch.int64)
    mask = ids.clone()
    mask[1, 6:] = 0
    batch = torch.export.Dim("batch", min=1, max=4096)
    tokens = torch.export.Dim("tokens", min=2, max=model.max_seq_length or 512)
    shapes = {"input_ids": {0: batch, 1: tokens}, "attention_mask": {0: batch, 1: tokens}}
    device = model.device
    with _quiet("torch.onnx"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        try:
            torch.onnx.export(
                _Whole(model.cpu().eval()),
                (ids, mask),
                str(path),
                input_names=["input_ids", "attention_mask"],
                output_names=["sentence_embedding"],
                dynamic_shapes=shapes,
                opset_version=18,
                dynamo=True,
                external_data=sum(p.numel() * p.element_size() for p in model.parameters()) > _ONE_FILE,
                verbose=False,
            )
        except Exception as error:  # the exporter's errors have no common public class
            kind = model[0].auto_model.config.model_type
            raise EncoderError(f"torch can't export {kind} to ONNX: {str(error).splitlines()[0]}") from error
        finally:
            model.to(device)


def quantise(whole: Path, path: Path) -> None:
    """What `write` wrote, with int8 weights."""
    with _quiet(None):  # the quantiser recommends itself on the root logger
        quantize_dynamic(
            str(whole),
            str(path),
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gather"],
        )


@contextmanager
def _quiet(name: str | None) -> Iterator[None]:
    """Errors only, for a while."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
