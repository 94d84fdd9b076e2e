"""The loss of a cross-encoder: the passages of one question against one another. Imports torch.

The cross-entropy between what each passage deserves and the softmax of the scores: "ListNet" (Cao et al., "Learning to
Rank: From Pairwise Approach to Listwise Approach", ICML 2007). With one passage that deserves all it is the loss of
Gao et al., "Rethink Training of BERT Rerankers in Multi-Stage Retrieval Pipeline", ECIR 2021; with a larger model's
shares it is distillation.
"""

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch.nn.functional import log_softmax


class Listwise(torch.nn.Module):
    """Called with the features of each column, and labels of shape (questions, columns), rows of which sum to 1.

    All columns run as one batch, padded to its longest text.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, columns: Sequence[dict[str, torch.Tensor]], labels: torch.Tensor) -> torch.Tensor:
        """The mean over the questions."""
        scores = [self.model(dict(column))["sentence_embedding"].reshape(-1) for column in columns]
        shares = log_softmax(torch.stack(scores, dim=1), dim=1)
        return -(labels.to(shares) * shares).sum(dim=1).mean()

    def get_config_dict(self) -> dict[str, Any]:
        """Nothing to say."""
        return {}
