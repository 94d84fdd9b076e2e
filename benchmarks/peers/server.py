"""A plain server over sentence-transformers, as a tutorial has it: what damda's is compared with.

python benchmarks/peers/server.py MODEL DOCUMENTS PORT

MODEL: a folder that sentence-transformers loads. DOCUMENTS: a JSON list of texts. ``/v1/embeddings`` encodes what a
request brings; ``/search`` encodes the question and compares it with every passage's vector in numpy.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(sys.argv[1], device="cpu")
texts: list[str] = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
passages = model.encode([f"passage: {text}" for text in texts], normalize_embeddings=True, batch_size=8)
app = FastAPI()


@app.post("/v1/embeddings")
def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vectors = model.encode([f"passage: {text}" for text in given], normalize_embeddings=True, batch_size=8)
    return {"object": "list", "data": [{"index": i, "embedding": v.tolist()} for i, v in enumerate(vectors)]}


@app.post("/api/search")
def search(body: dict[str, Any]) -> dict[str, Any]:
    vector = model.encode([f"query: {body['query']}"], normalize_embeddings=True)[0]
    scores = passages @ vector
    best = np.argsort(-scores)[: body["k"]]
    return {"hits": [{"text": texts[i], "score": float(scores[i])} for i in best]}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[3]), log_level="warning")
