"""The image encoder: real file layouts, written small; what it must keep to, and what it refuses."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_clip
from numpy.typing import NDArray
from PIL import Image
from tiny_clip import CLIP_PIXELS, COLOURS, KOREAN, SIDE, SIGLIP_PIXELS, encoded, picture

from damda.embed.clip import ClipEncoder, normalised, read_card
from damda.errors import ReadError, WeightsError
from damda.types import ImageEncoder

LAYOUTS = (tiny_clip.clip, tiny_clip.siglip)


@pytest.fixture(params=LAYOUTS, ids=lambda make: str(make.__name__))
def made(request: pytest.FixtureRequest, tmp_path: Path) -> ClipEncoder:
    make: Callable[[Path], Path] = request.param
    return ClipEncoder(make(tmp_path / "model"))


# --- what every image encoder keeps to


def test_text_and_images_meet(made: ClipEncoder) -> None:
    encoder: ImageEncoder = made
    images = encoder.encode_images([picture(colour) for colour in COLOURS])
    for texts in (list(COLOURS), [colour.upper() for colour in COLOURS], list(KOREAN)):
        cosines = encoder.encode(texts, kind="query") @ images.T
        assert cosines.argmax(axis=1).tolist() == [0, 1, 2, 3] and cosines.diagonal().min() > 0.98


def test_unit_vectors_of_the_right_shape(made: ClipEncoder) -> None:
    texts = made.encode(["red", "", " ", "\n", "x" * 5000, "red " * 5000, "😀", "반\udc80"], kind="passage")
    images = made.encode_images([picture("red"), picture("red", size=(1, 90))])
    for vectors, count in ((texts, 8), (images, 2)):
        assert vectors.shape == (count, made.dim) == (count, 12) and vectors.dtype == np.float32
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert made.encode([], kind="query").shape == made.encode_images([]).shape == (0, 12)


def test_a_vector_depends_neither_on_its_company_nor_on_its_place(made: ClipEncoder) -> None:
    texts = ["red", "blue " * 90, "", "파란 green", "red blue green yellow"]
    alone = np.concatenate([made.encode([text], kind="passage") for text in texts])
    assert (made.encode(texts, kind="passage") == alone).all()
    assert (made.encode(texts[::-1], kind="passage") == alone[::-1]).all()
    assert (made.encode(texts, kind="query") == alone).all()
    images = [picture("red"), picture("green", "blue", size=(50, 9)), picture("yellow", kind="JPEG")]
    apart = np.concatenate([made.encode_images([image]) for image in images])
    assert (made.encode_images(images[::-1]) == apart[::-1]).all()


def test_where_a_colour_is_makes_a_difference(made: ClipEncoder) -> None:
    left, right = made.encode_images([picture("red", "blue", size=(8, 8)), picture("blue", "red", size=(8, 8))])
    assert left @ right < 0


def test_no_image_is_a_read_error(made: ClipEncoder) -> None:
    with pytest.raises(ReadError, match="no PNG"):
        made.encode_images([picture("red"), b"text"])


# --- what the files say is done


def test_the_same_arithmetic_as_the_processors(tmp_path: Path) -> None:
    """(pixels * rescale_factor - image_mean) / image_std, a channel at a time."""
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    for make, given in zip(LAYOUTS, (CLIP_PIXELS, SIGLIP_PIXELS), strict=True):
        card = read_card(make(tmp_path / make.__name__))
        slow = np.empty((3, SIDE, SIDE))
        mean, deviation = given["image_mean"], given["image_std"]
        for channel in range(3):
            slow[channel] = (pixels[:, :, channel] * (1 / 255) - mean[channel]) / deviation[channel]
        assert normalised(pixels, card) == pytest.approx(slow, abs=1e-5)


def test_clip_cuts_the_middle_out_and_siglip_sees_all(tmp_path: Path) -> None:
    wide = picture("blue", "red", "red", "blue", size=(64, 32))
    cut, whole = (ClipEncoder(make(tmp_path / make.__name__)) for make in LAYOUTS)
    for encoder, least, most in ((cut, 0.99, 1.0), (whole, 0.0, 0.9)):
        ((cosine,),) = encoder.encode(["red"], kind="query") @ encoder.encode_images([wide]).T
        assert least < cosine <= most + 1e-6


def test_text_is_cut_at_the_window_and_padded_where_the_model_wants_it(tmp_path: Path) -> None:
    """CLIP: 77 tokens, two of them special. SigLIP: always 64, one of them the end; the others are padding."""
    rows = tiny_clip.table(["<|startoftext|>", "<|endoftext|>", *COLOURS, *KOREAN], CLIP_PIXELS)
    red, start, end = rows[2], rows[0], rows[1]
    encoder = ClipEncoder(tiny_clip.clip(tmp_path / "clip"))
    assert same(encoder, "red", red + start + end) and same(encoder, "red " * 500, 75 * red + start + end)

    rows = tiny_clip.table(["<pad>", "<eos>", *COLOURS, *KOREAN], SIGLIP_PIXELS)
    red, pad, end = rows[2], rows[0], rows[1]
    encoder = ClipEncoder(tiny_clip.siglip(tmp_path / "siglip"))
    assert same(encoder, "Red", red + end + 62 * pad) and same(encoder, "red " * 500, 63 * red + end)


def same(encoder: ClipEncoder, text: str, expected: NDArray[np.float32]) -> bool:
    (vector,) = encoder.encode([text], kind="query")
    return bool(np.abs(vector - expected / np.linalg.norm(expected)).max() < 1e-6)


def changed(folder: Path, name: str, **values: object) -> Path:
    """Other values in one of the files; ... takes one out."""
    merged = {**json.loads((folder / name).read_text()), **values}
    kept = {key: value for key, value in merged.items() if value is not ...}
    (folder / name).write_text(json.dumps(kept), encoding="utf-8")
    return folder


def test_a_window_that_the_files_name(tmp_path: Path) -> None:
    folder = tiny_clip.siglip(tmp_path / "m")
    changed(folder, "config.json", text_config={"model_type": "siglip_text_model", "max_position_embeddings": 5})
    rows = tiny_clip.table(["<pad>", "<eos>", *COLOURS], SIGLIP_PIXELS)
    assert same(ClipEncoder(folder), "red", rows[2] + rows[1] + 3 * rows[0])


def test_a_text_model_of_one_length(tmp_path: Path) -> None:
    """Exports without dynamic axes take 77 tokens and no others."""
    folder = tiny_clip.clip(tmp_path / "m")
    words = ["<|startoftext|>", "<|endoftext|>", *COLOURS, *KOREAN]
    plain = ClipEncoder(folder).encode(["red"], kind="query")
    outputs = ("text_embeds", "image_embeds")
    tiny_clip.towers(folder, words, CLIP_PIXELS, ["input_ids", "attention_mask"], outputs, length=77)
    assert ClipEncoder(folder).encode(["red"], kind="query") == pytest.approx(plain, abs=1e-6), "the mask hides padding"


def test_what_the_first_clip_files_leave_out(tmp_path: Path) -> None:
    """openai/clip-vit-base-patch32 has bare numbers as sizes, and no word of rescaling."""
    whole = ClipEncoder(tiny_clip.clip(tmp_path / "a"))
    old: dict[str, Any] = {"size": SIDE, "crop_size": SIDE, "do_rescale": ..., "rescale_factor": ..., "resample": ...}
    bare = ClipEncoder(changed(tiny_clip.clip(tmp_path / "b"), "preprocessor_config.json", **old))
    assert bare.card == whole.card and bare.id == whole.id


@pytest.mark.parametrize("ending", ["_quantized", "_int8"])
def test_variants(tmp_path: Path, ending: str) -> None:
    folder = tiny_clip.clip(tmp_path / "m", ending=ending)
    assert ClipEncoder(folder).dim == ClipEncoder(folder, variant=ending[1:]).dim == 12
    with pytest.raises(WeightsError, match=r"text_model_fp16\.onnx"):
        ClipEncoder(folder, variant="fp16")
    full = ClipEncoder(tiny_clip.clip(folder)).id
    (folder / "onnx" / f"text_model{ending}.onnx").write_bytes(b"")
    assert ClipEncoder(folder).id == full, "with the full files there, they are taken"


def test_files_beside_the_description(tmp_path: Path) -> None:
    folder = tiny_clip.clip(tmp_path / "m")
    before = ClipEncoder(folder).id
    for path in (folder / "onnx").iterdir():
        path.rename(folder / path.name)
    assert ClipEncoder(folder).id == before and ClipEncoder(folder).dim == 12


def test_ids_change_with_the_vectors(tmp_path: Path) -> None:
    def make(name: str) -> Path:
        return tiny_clip.clip(tmp_path / name)

    other = make("weights")
    tiny_clip.towers(other, ["a", "b", "red"], SIGLIP_PIXELS, ["input_ids"], ("text_embeds", "image_embeds"))
    data = make("data")
    (data / "onnx" / "vision_model.onnx_data").write_bytes(b"weights beside the graph")
    words = ["<|startoftext|>", "<|endoftext|>", "red"]
    tokens = make("tokens")
    (tokens / "tokenizer.json").write_text(json.dumps(tiny_clip.tokenizer(words, words[:1], words[1:2], lower=True)))
    folders = [
        make("a"),
        other,
        data,
        tokens,
        tiny_clip.siglip(tmp_path / "siglip"),
        changed(make("filter"), "preprocessor_config.json", resample=2),
        changed(make("mean"), "preprocessor_config.json", image_mean=[0.5, 0.5, 0.5]),
        changed(make("window"), "config.json", text_config={"max_position_embeddings": 7}),
    ]
    assert len({ClipEncoder(folder).id for folder in folders}) == len(folders)
    assert ClipEncoder(make("again")).id == ClipEncoder(folders[0]).id


# --- what is not known is refused


NAFLEX = {"size": ..., "max_num_patches": 256, "patch_size": 16}


@pytest.mark.parametrize(
    "name, values, said",
    [
        ("config.json", {"text_config": {"model_type": "bert"}}, "text model of kind bert; known are clip_text_model"),
        ("config.json", {"model_type": "blip", "text_config": ...}, "kind blip_text_model"),
        ("preprocessor_config.json", NAFLEX, "preprocessor_config.json does not say size"),
        ("preprocessor_config.json", {"image_mean": ...}, "does not say image_mean"),
        ("preprocessor_config.json", {"image_std": [1, 2]}, "not three channels"),
        ("preprocessor_config.json", {"size": {"longest_edge": 9}}, "does not say shortest_edge"),
        ("preprocessor_config.json", {"do_center_crop": False}, "does not say height"),
        ("preprocessor_config.json", {"do_resize": False}, "do_resize is off"),
        ("preprocessor_config.json", {"crop_size": 99}, "crops 99 x 99 from a shortest edge of 8"),
        ("preprocessor_config.json", {"size": {"shortest_edge": "big"}}, "can't be read"),
    ],
)
def test_descriptions_that_are_not_known(tmp_path: Path, name: str, values: Mapping[str, Any], said: str) -> None:
    folder = changed(tiny_clip.clip(tmp_path / "m"), name, **values)
    with pytest.raises(WeightsError, match=said) as caught:
        ClipEncoder(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["config.json", "preprocessor_config.json", "tokenizer_config.json", "tokenizer.json", "onnx/text_model.onnx"],
)
def test_missing_and_damaged_files(tmp_path: Path, name: str) -> None:
    folder = tiny_clip.siglip(tmp_path / "m")
    (folder / name).write_bytes(b"{")
    with pytest.raises(WeightsError, match=Path(name).name) as caught:
        ClipEncoder(folder).encode(["red"], kind="query")
    assert "\n" not in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=Path(name).name):
        ClipEncoder(folder)


def test_models_that_are_something_else(tmp_path: Path) -> None:
    words = ["<|startoftext|>", "<|endoftext|>", *COLOURS]
    named = tiny_clip.clip(tmp_path / "named", outputs=("logits", "scores"))
    with pytest.raises(WeightsError, match="gives last_hidden_state, logits, but neither text_embeds nor"):
        ClipEncoder(named).encode(["red"], kind="query")
    with pytest.raises(WeightsError, match="neither image_embeds nor pooler_output"):
        ClipEncoder(named).encode_images([picture("red")])
    typed = tiny_clip.clip(tmp_path / "typed")
    tiny_clip.towers(typed, words, CLIP_PIXELS, ["input_ids", "token_type_ids"], ("text_embeds", "image_embeds"))
    with pytest.raises(WeightsError, match="wants input_ids, token_type_ids"):
        ClipEncoder(typed).encode(["red"], kind="query")
    unpadded = changed(tiny_clip.siglip(tmp_path / "unpadded"), "tokenizer_config.json", pad_token="<none>")
    with pytest.raises(WeightsError, match="names no pad_token"):
        ClipEncoder(unpadded).encode(["red"], kind="query")


def test_a_tokenizer_that_closes_no_text(tmp_path: Path) -> None:
    folder = tiny_clip.siglip(tmp_path / "m")
    open_ended = tiny_clip.tokenizer(["<pad>", "<eos>", "red"], [], [], lower=False)
    (folder / "tokenizer.json").write_text(json.dumps(open_ended))
    with pytest.raises(WeightsError, match="puts no end after a text"):
        ClipEncoder(folder).encode(["red"], kind="query")


def test_models_of_two_spaces(tmp_path: Path) -> None:
    """CLIP exported without its projections: the hidden sizes of its two models differ."""
    folder = tiny_clip.clip(tmp_path / "m")
    small = {"size": {"shortest_edge": 4}, "crop_size": 4}
    encoder = ClipEncoder(changed(folder, "preprocessor_config.json", **small))
    assert encoder.encode(["red"], kind="query").shape == (1, 12)
    with pytest.raises(WeightsError, match="one model gives vectors of 12, the other of 3"):
        encoder.encode_images([encoded(Image.new("RGB", (9, 9)))])
