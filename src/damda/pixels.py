"""An image file -> the pixels that a vision model sees, decoded in a process of its own.

Knows: Pillow, colour modes, orientation, how a picture is cut to a model's size. Does not know: models, or what the
pixels are for.

Decoders run native code over files that anybody may have written: they may hang or crash, and cost one file. Resizing
happens there too, so that some hundred kilobytes come back and nothing of the file itself is looked at here.

Run as ``python -m damda.pixels``. A request is a line of JSON, {"size", "seconds", "frame"}, and ``size`` bytes; the
answer is a line of JSON, {"pixels"} (base64) or {"error"}.
"""

import base64
import io
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from damda.child import Child, serve
from damda.errors import ReadError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

MAX_PIXELS = 100_000_000
"""Most pixels of an image, before and after resizing; a header may promise billions in a few bytes."""

_KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_MEMORY = 4 << 30
_DAMAGED = "damaged or cut off; open it in its program and save it again"


@dataclass(frozen=True, slots=True)
class Frame:
    """How a picture becomes an input of fixed size.

    Attributes:
        height, width: of the result, in pixels.
        shortest: the shorter edge gets this length and the middle is cut out; 0: stretched to height and width.
        resample: Pillow's number of the filter (0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming).
    """

    height: int
    width: int
    shortest: int = 0
    resample: int = 3


class PixelProcess:
    """A process that decodes one image at a time. Safe to use from threads, which wait for one another."""

    def __init__(self) -> None:
        self._child = Child("damda.pixels")

    @property
    def pid(self) -> int | None:
        """Process id, None before its first image."""
        return self._child.pid

    def framed(self, data: bytes, frame: Frame, *, seconds: float) -> "NDArray[np.uint8]":
        """The first picture of a file, upright, in RGB over white, shape (frame.height, frame.width, 3).

        Raises:
            ReadError: it is no image, damaged, too large, or took more than ``seconds``.
        """
        import numpy as np

        header = json.dumps({"size": len(data), "seconds": seconds, "frame": asdict(frame)})
        try:
            line = self._child.ask(header.encode("ascii") + b"\n" + data, seconds=seconds)
        except TimeoutError as error:
            raise ReadError(f"took more than {seconds:g} s to decode; scale it down, or raise read.timeout") from error
        except EOFError as error:
            raise ReadError(f"the image decoder crashed on it; {_DAMAGED}") from error
        answer: dict[str, str] = json.loads(line)
        if "error" in answer:
            raise ReadError(answer["error"])
        pixels = np.frombuffer(base64.b64decode(answer["pixels"]), np.uint8)
        return pixels.reshape(frame.height, frame.width, 3)

    def close(self) -> None:
        """End the process; the next image starts another."""
        self._child.close()


PIXELS = PixelProcess()
"""The one decoder of this process; started by the first image, ended with the process."""


def main() -> None:
    """Answer requests until the input ends."""
    serve(lambda request, data: _answer(data, Frame(**request["frame"])), memory=_MEMORY)


def _answer(data: bytes, frame: Frame) -> dict[str, str]:
    from PIL import UnidentifiedImageError

    try:
        return {"pixels": base64.b64encode(_framed(data, frame).tobytes()).decode("ascii")}
    except ReadError as error:
        return {"error": str(error)}
    except UnidentifiedImageError:
        return {"error": f"no {', '.join(_KINDS[:-1])} or {_KINDS[-1]} image, or {_DAMAGED}"}
    except MemoryError:
        return {"error": f"needs more than {_MEMORY >> 30} GB of memory to decode; scale it down"}
    except Exception as error:  # what a decoder raises on a damaged file is anyone's guess
        reason = re.sub(r"\s+", " ", str(error))[:120]
        return {"error": f"{_DAMAGED} ({type(error).__name__}: {reason})"}


def _framed(data: bytes, frame: Frame) -> "Image":
    """As the processors of Hugging Face's transformers do it, but for transparency, which they drop."""
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = None  # checked here, with a word on what to do
    with Image.open(io.BytesIO(data), formats=_KINDS) as opened:
        _check(opened.width, opened.height)
        image = _rgb(ImageOps.exif_transpose(opened))
    resample = Image.Resampling(frame.resample)
    if not frame.shortest:
        return image.resize((frame.width, frame.height), resample)
    short, long = sorted(image.size)
    longest = frame.shortest * long // short
    _check(frame.shortest, longest)
    size = (frame.shortest, longest) if image.width <= image.height else (longest, frame.shortest)
    image = image.resize(size, resample)
    left, top = (image.width - frame.width) // 2, (image.height - frame.height) // 2
    return image.crop((left, top, left + frame.width, top + frame.height))


def _check(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ReadError(
            f"{width:,} x {height:,} pixels, more than {MAX_PIXELS / 1e6:,.0f} million; scale it down or cut it"
        )


def _rgb(image: "Image") -> "Image":
    """Eight bits a channel, without transparency: what a reader sees on white paper."""
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _grey(image: Any) -> "Image":  # noqa: ANN401  numpy takes an Image, whose annotations don't say so
    """More than eight bits of grey, which Pillow would cut off at 255. 32 bits and floats have no white of their own:
    their least and greatest values become black and white."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, np.float64))
    low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else (values.min(), values.max())
    scaled = (values - low) * (255 / (high - low or 1.0))
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")


if __name__ == "__main__":
    main()
