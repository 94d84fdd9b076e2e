"""The card of a model says what its manifest says, and what it does not."""

from importlib import import_module
from pathlib import Path

import pytest
from test_encoder import folder as model
from test_publish import artifact as artifact

from damda import manifest
from damda.manifest import Data, Manifest, Parent
from damda.tune.card import card
from damda.tune.licences import licence

yaml = import_module("yaml")  # which has no types; it comes with the extra hub


def test_the_card(artifact: Path) -> None:
    text = card(manifest.read(artifact), "me/enc", ("query: ", "doc: "))
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["language"] == ["ko", "en"] and front["license"] == "cc-by-sa-4.0"
    assert front["library_name"] == "sentence-transformers" and front["pipeline_tag"] == "sentence-similarity"
    assert front["base_model"] == ["intfloat/multilingual-e5-small"] and "onnx" in front["tags"]
    for line in (
        "| measure | before | after |",
        "| klue_sts_dev · spearman | 0.7891 | 0.84 |",
        "| klue_sts_dev · pairs |  | 519 |",
        "| ndcg@10 | 0.5 | not measured |",
        "| KLUE-STS dev | evaluation | 519 | CC-BY-SA-4.0 | cdcdcdcdcdcdcdcd |",
        "It took 15 min 5 s on 2 cores \\| 7.8 GiB.",
        "| epochs | 3 |",
        'name = "hub:me/enc"',
        'model = SentenceTransformer("me/enc")',
        "damda models pull hub:me/enc",
    ):
        assert line in text.splitlines() or line in text, line
    assert "sk-4711" not in text and "most demanding" in text


def test_the_card_of_little_known(tmp_path: Path) -> None:
    made = model(tmp_path / "m")
    bare = manifest.write(made, Manifest("encoder", "x: '<b>'", data=[Data("our documents", count=40)]))
    text = card(bare, "me/enc")
    front = yaml.safe_load(text.split("---\n")[1])
    assert "license" not in front and "base_model" not in front and front["library_name"] == "damda"
    assert "sentence-transformers can't load it" in text and "\\<b\\>" in text
    unknown = text.partition("## What is not known")[2]
    for word in ("figures", "licence of the data our documents", "version of the data", "command", "machine", "time"):
        assert word in unknown, word


@pytest.mark.parametrize(
    "parents, data, expected",
    [
        (["MIT"], ["mit"], "mit"),
        (["MIT"], ["Apache-2.0"], "apache-2.0"),
        (["Apache-2.0"], ["MIT"], "apache-2.0"),
        (["MIT"], ["CC BY-SA 4.0", "CC-BY-4.0"], "cc-by-sa-4.0"),
        (["MIT"], ["CC-BY-SA-4.0", "CC-BY-NC-4.0"], ""),
        (["MIT"], ["our own terms"], ""),
        (["MIT"], [""], ""),
        ([""], ["MIT"], ""),
        ([], [], ""),
    ],
)
def test_a_licence_is_named_only_where_all_agree(parents: list[str], data: list[str], expected: str) -> None:
    made = Manifest(
        "encoder",
        "x",
        parents=[Parent(f"p{n}", licence=given) for n, given in enumerate(parents)],
        data=[*(Data(f"d{n}", licence=given) for n, given in enumerate(data)), Data("test", use="evaluation")],
    )
    name, why = licence(made)
    assert name == expected and why
