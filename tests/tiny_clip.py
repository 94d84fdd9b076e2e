"""A CLIP that knows four colours, as two ONNX models in the layouts that the model hub's exports have.

An image's vector is the mean input of its four quarters, a text's the sum of what its words would be as such inputs:
"red" is near a red image by construction.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
KOREAN = {"빨간": "red", "초록": "green", "파란": "blue", "노란": "yellow"}
SIDE = 8

CLIP_PIXELS: dict[str, Any] = {
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": SIDE},
}
SIGLIP_PIXELS: dict[str, Any] = {
    "do_convert_rgb": None,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "SiglipProcessor",
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": SIDE, "width": SIDE},
}


def clip(folder: Path, *, outputs: tuple[str, str] = ("text_embeds", "image_embeds"), ending: str = "") -> Path:
    """As Xenova/clip-vit-base-patch32: config.json leaves out what its class has by default."""
    words = ["<|startoftext|>", "<|endoftext|>", *COLOURS, *KOREAN]
    config = {
        "model_type": "clip",
        "projection_dim": 12,
        "text_config": {"model_type": "clip_text_model", "eos_token_id": 2},
        "vision_config": {"model_type": "clip_vision_model"},
    }
    write(
        folder,
        {
            "config.json": config,
            "preprocessor_config.json": CLIP_PIXELS,
            "tokenizer_config.json": {"model_max_length": 77, "pad_token": "<|endoftext|>", "do_lower_case": True},
            "tokenizer.json": tokenizer(words, words[:1], words[1:2], lower=True),
        },
    )
    towers(folder, words, CLIP_PIXELS, ["input_ids", "attention_mask"], outputs, ending)
    return folder


def siglip(folder: Path, *, ending: str = "") -> Path:
    """As onnx-community/siglip2-base-patch16-224-ONNX: no mask, no word of the window or of lower case in any file."""
    words = ["<pad>", "<eos>", *COLOURS, *KOREAN]
    config = {
        "model_type": "siglip",
        "text_config": {"model_type": "siglip_text_model", "vocab_size": 256000},
        "vision_config": {"model_type": "siglip_vision_model"},
    }
    tokens = {"model_max_length": 1000000000000000019884624838656, "pad_token": "<pad>", "padding_side": "right"}
    write(
        folder,
        {
            "config.json": config,
            "preprocessor_config.json": SIGLIP_PIXELS,
            "tokenizer_config.json": tokens,
            "tokenizer.json": tokenizer(words, [], words[1:2], lower=False),
        },
    )
    towers(folder, words, SIGLIP_PIXELS, ["input_ids"], ("pooler_output", "pooler_output"), ending)
    return folder


def write(folder: Path, files: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def tokenizer(words: list[str], before: list[str], after: list[str], *, lower: bool) -> dict[str, object]:
    special = {s: {"id": s, "ids": [words.index(s)], "tokens": [s]} for s in before + after}
    single = [{"SpecialToken": {"id": s, "type_id": 0}} for s in before] + [{"Sequence": {"id": "A", "type_id": 0}}]
    single += [{"SpecialToken": {"id": s, "type_id": 0}} for s in after]
    vocabulary = {word: number for number, word in enumerate([*words, "<unk>"])}
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"} if lower else None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": single,
            "special_tokens": special,
        },
    }


def table(words: list[str], pixels: Mapping[str, Any]) -> NDArray[np.float32]:
    """A row a word, the last for unknown ones: what a picture of the colour would be as an input, four times."""
    rows = np.zeros((len(words) + 1, 12), np.float32)
    rows[0, 0] = rows[1, 1] = 0.01  # special tokens leave a trace, so that wrong padding changes a vector
    for row, word in enumerate(words):
        colour = COLOURS.get(KOREAN.get(word, word))
        if colour:
            value = (np.array(colour) / 255 - np.array(pixels["image_mean"])) / np.array(pixels["image_std"])
            rows[row] += np.repeat(value, 4).astype(np.float32)
    return rows


def towers(
    folder: Path,
    words: list[str],
    pixels: Mapping[str, Any],
    inputs: list[str],
    outputs: tuple[str, str],
    ending: str = "",
    length: int | str = "tokens",
) -> None:
    """text_model.onnx and vision_model.onnx; both outputs have 12 dimensions: 3 channels of 4 quarters."""
    ids = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", length]) for name in inputs]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["states"])]
    if "attention_mask" in inputs:
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
            helper.make_node("Mul", ["states", "column"], ["last_hidden_state"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["states"], ["last_hidden_state"]))
    nodes.append(helper.make_node("ReduceSum", ["last_hidden_state", "axis"], [outputs[0]], keepdims=0))
    constants = [
        numpy_helper.from_array(table(words, pixels), "table"),
        numpy_helper.from_array(np.array([2], np.int64), "last"),
        numpy_helper.from_array(np.array([1], np.int64), "axis"),
    ]
    save(folder, f"text_model{ending}.onnx", nodes, ids, outputs[0], constants)
    image = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, "height", "width"])
    nodes = [
        helper.make_node("AveragePool", ["pixel_values"], ["last_hidden_state"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["last_hidden_state"], [outputs[1]]),
    ]
    save(folder, f"vision_model{ending}.onnx", nodes, [image], outputs[1], [])


def save(
    folder: Path,
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    output: str,
    constants: list[onnx.TensorProto],
) -> None:
    # As exporters name it: the length is there for who runs it, not in the file.
    outputs = [
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, None),
        helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", f"{output}_dim_1"]),
    ]
    graph = helper.make_graph(nodes, "tower", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "onnx").mkdir(exist_ok=True)
    onnx.save(model, str(folder / "onnx" / name))


def picture(*colours: str, size: tuple[int, int] = (32, 24), kind: str = "PNG") -> bytes:
    """An image file of vertical stripes."""
    image = Image.new("RGB", size)
    for number, colour in enumerate(colours):
        left, right = (size[0] * n // len(colours) for n in (number, number + 1))
        image.paste(COLOURS[colour], (left, 0, right, size[1]))
    return encoded(image, kind)


def encoded(image: Image.Image, kind: str = "PNG", exif: Image.Exif | None = None) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **({"exif": exif} if exif else {}))
    return file.getvalue()
