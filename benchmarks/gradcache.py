"""What GradCache saves: memory and time of a contrastive training step, by batch, with it and without.

python benchmarks/gradcache.py

In-batch negatives want large batches, and a large batch's activations want memory. GradCache (Gao et al. 2021,
arXiv:2101.06983) embeds a batch in small parts twice, and keeps the activations of one part alone.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from typing import Any

import machine

BATCHES, STEPS = (16, 64), 2
WORDS = 120
"""Of a passage: about as many tokens as `damda tune encoder` reads of one."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--one", nargs=2, metavar=("BATCH", "KIND"), help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.one:
        print(json.dumps(measured(int(given.one[0]), given.one[1])))
        return
    rows = []
    for batch in BATCHES:
        for kind in ("plain", "cached"):  # each in a process of its own: what one took at most is never given back
            done = subprocess.run(
                [sys.executable, __file__, "--one", str(batch), kind], stdout=subprocess.PIPE, check=True, text=True
            )
            rows.append({"batch": batch, "kind": kind, **json.loads(done.stdout.splitlines()[-1])})
            print(rows[-1])
    machine.save("gradcache", {"rows": rows})


def measured(batch: int, kind: str) -> dict[str, float]:
    """Peak bytes above those of the model, and seconds a step."""
    import torch
    from sentence_transformers.sentence_transformer import losses

    from damda.assemble.tuning import backbone_folder
    from damda.tune import backbone
    from damda.tune.contrast import MINI_BATCH, TEMPERATURE

    model: Any = backbone.open_model(backbone_folder("e5-small-koen"))
    model.max_seq_length = 192
    model.train()
    loss: Any = (
        losses.CachedMultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE, mini_batch_size=MINI_BATCH)
        if kind == "cached"
        else losses.MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE)
    )
    drawn = random.Random(0)
    letters = "가나다라마바사아자차카타파하"
    texts = [
        [" ".join("".join(drawn.choices(letters, k=3)) for _ in range(words)) for _ in range(batch)]
        for words in (8, WORDS // 2)
    ]
    parts = [model.preprocess(some) for some in texts]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = []
    for _ in range(STEPS):
        begun = time.perf_counter()
        loss([dict(part) for part in parts], torch.empty(0)).backward()
        model.zero_grad()
        taken.append(time.perf_counter() - begun)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return {"megabytes": peak / 1e6, "seconds": min(taken), "tokens": int(parts[1]["attention_mask"].sum()) / batch}


if __name__ == "__main__":
    main()
