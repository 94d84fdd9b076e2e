"""Image files to pixels: colour modes, orientation, size, and what a damaged or hostile file costs."""

import io
import math
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tiny_clip import encoded, picture

from damda import child
from damda.errors import ReadError
from damda.pixels import PIXELS, Frame, PixelProcess

PLAIN = Frame(4, 4, 4)
WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)


def framed(data: bytes, frame: Frame = PLAIN) -> NDArray[np.uint8]:
    return PIXELS.framed(data, frame, seconds=20)


# --- against a slow reference


def bicubic(x: float) -> float:
    """Keys' cubic with a = -0.5 (Pillow's)."""
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0


def bilinear(x: float) -> float:
    return max(0.0, 1 - abs(x))


def resized(rows: NDArray[np.float64], length: int, filtered: Callable[[float], float], reach: float) -> NDArray[Any]:
    """The first axis resampled to ``length``; shrinking widens the filter. Rounded, as Pillow rounds between axes."""
    scale = len(rows) / length
    wide = max(scale, 1.0)
    out = []
    for at in range(length):
        centre = (at + 0.5) * scale
        first, last = (math.floor(centre + side * reach * wide + 0.5) for side in (-1, 1))
        places = range(max(0, first), min(len(rows), last))
        weights = np.array([filtered((place + 0.5 - centre) / wide) for place in places])
        out.append(np.tensordot(weights / weights.sum(), rows[list(places)], 1))
    return np.clip(np.rint(out), 0, 255)


@pytest.mark.parametrize("size", [(31, 20), (20, 31), (8, 8), (5, 9), (90, 7)])
@pytest.mark.parametrize("number, filtered, reach", [(3, bicubic, 2.0), (2, bilinear, 1.0)])
def test_like_the_processors_of_transformers(
    size: tuple[int, int], number: int, filtered: Callable[[float], float], reach: float
) -> None:
    """CLIP: the shorter edge to 8, the other cut off (not rounded) in proportion, then the middle, offsets rounded
    down. SigLIP: stretched to 8 x 8."""
    width, height = size
    image = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(image))

    def references(tall: int, broad: int) -> list[NDArray[Any]]:
        """Either axis first: newer versions of Pillow begin with the one that shrinks."""
        lying = image.astype(float).transpose(1, 0, 2)
        across = resized(resized(lying, broad, filtered, reach).transpose(1, 0, 2), tall, filtered, reach)
        down = resized(lying.transpose(1, 0, 2), tall, filtered, reach).transpose(1, 0, 2)
        return [across, resized(down, broad, filtered, reach).transpose(1, 0, 2)]

    stretched = framed(data, Frame(8, 8, 0, number))
    assert min(np.abs(stretched - whole).max() for whole in references(8, 8)) <= 1
    longer = int(8 * max(size) / min(size))
    wholes = references(longer, 8) if height >= width else references(8, longer)
    top, left = ((side - 6) // 2 for side in wholes[0].shape[:2])
    middle = framed(data, Frame(6, 6, 8, number))
    assert min(np.abs(middle - whole[top : top + 6, left : left + 6]).max() for whole in wholes) <= 1


# --- modes


@pytest.mark.parametrize(
    "image, colour",
    [
        (Image.new("RGBA", (9, 9), (255, 0, 0, 0)), WHITE),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 255)), RED),
        (Image.new("LA", (9, 9), (0, 0)), WHITE),
        (Image.new("L", (9, 9), 7), (7, 7, 7)),
        (Image.new("1", (9, 9), 1), WHITE),
        (Image.new("RGB", (9, 9), RED).quantize(4), RED),
        (Image.new("I;16", (9, 9), 65535), WHITE),
        (Image.new("I;16", (9, 9), 257 * 80), (80, 80, 80)),  # Pillow itself would cut it off at 255
    ],
)
def test_modes_become_rgb_over_white(image: Image.Image, colour: tuple[int, int, int]) -> None:
    assert (framed(encoded(image)) == colour).all()


def test_modes_of_tiff() -> None:
    assert (framed(encoded(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "TIFF")) == RED).all()
    for kind in (np.int32, np.float32):  # with no white of their own
        half = np.zeros((4, 4), kind)
        half[:, 2:] = 70000
        pixels = framed(encoded(Image.fromarray(half), "TIFF"))
        assert (pixels[:, 0] == BLACK).all() and (pixels[:, 3] == WHITE).all()


def test_a_palette_with_a_transparent_colour() -> None:
    image = Image.new("P", (9, 9), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    file = io.BytesIO()
    image.save(file, "GIF", transparency=1)
    assert (framed(file.getvalue()) == WHITE).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format(kind: str) -> None:
    assert np.abs(framed(picture("red", kind=kind)).astype(int) - RED).max() < 4


def test_upright_as_the_camera_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    lying = Image.new("RGB", (8, 8))
    lying.paste(RED, (0, 0, 4, 8))  # left half
    pixels = framed(encoded(lying, "JPEG", exif), Frame(8, 8, 8))
    assert pixels[0, :, 0].min() > 200 and pixels[7, :, 0].max() < 50, "the left has become the top"


def test_the_first_picture_of_an_animation() -> None:
    file = io.BytesIO()
    Image.new("RGB", (9, 9), RED).save(file, "GIF", save_all=True, append_images=[Image.new("RGB", (9, 9))] * 3)
    assert (framed(file.getvalue()) == RED).all()


# --- what can't be decoded


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and has one row's worth of data."""

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(b"\0" * 99)) + part(b"IEND", b"")


@pytest.mark.parametrize(
    "data, said",
    [
        (b"<svg/>", "no PNG, JPEG, WEBP, GIF, BMP or TIFF image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no PNG"),  # Pillow would start another program
        (picture("red", "blue")[:60], "damaged or cut off"),
        (encoded(Image.effect_noise((90, 90), 80), "JPEG")[:900], "damaged or cut off"),
        (png_header(50_000, 50_000), "50,000 x 50,000 pixels, more than 100 million"),
        (encoded(Image.new("1", (1, 10_000_000))), "4 x 40,000,000 pixels, more than 100 million"),  # once resized
    ],
)
def test_what_is_no_image_says_why(data: bytes, said: str) -> None:
    with pytest.raises(ReadError, match=said) as caught:
        framed(data)
    assert "\n" not in str(caught.value)
    assert (framed(picture("red")) == RED).all(), "and the next one is decoded"


def test_a_decoder_that_hangs_or_crashes_costs_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def runs(code: str) -> PixelProcess:
        def start(module: str) -> "subprocess.Popen[bytes]":
            return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        monkeypatch.setattr(child, "started", start)
        return PixelProcess()

    with pytest.raises(ReadError, match=r"took more than 0\.3 s"):
        runs("import time; time.sleep(60)").framed(b"x", PLAIN, seconds=0.3)
    with pytest.raises(ReadError, match="crashed"):
        runs("import os, sys; sys.stdin.buffer.readline(); os.abort()").framed(b"x", PLAIN, seconds=20)


def test_a_killed_decoder_is_replaced() -> None:
    framed(picture("red"))
    first = PIXELS.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    time.sleep(0.1)
    assert (framed(picture("red")) == RED).all() and PIXELS.pid != first


def test_importing_loads_no_pillow() -> None:
    code = "import sys, damda.pixels, damda.embed.clip; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
