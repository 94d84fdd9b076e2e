"""Searches in the space of an image encoder: a text finds images, an image finds passages or images.

Knows: which vectors are compared. Does not know: how they are made.
"""

from damda.errors import ConfigError
from damda.search.single import fetch
from damda.search.store import Store
from damda.types import Hit, ImageEncoder, Where


class Pictures:
    """Cosine of image and text vectors, compared with every stored one.

    A text is not compared with passages: the other searches know passages better.

    Args:
        store, encoder: of one space.
        passages: whether passages are stored with vectors of this space.
    """

    def __init__(self, store: Store, encoder: ImageEncoder, *, passages: bool = True) -> None:
        self._store, self._encoder, self._passages = store, encoder, passages

    def by_text(self, query: str, k: int, where: Where | None = None) -> list[Hit]:
        """At most ``k`` images, best first."""
        view = self._store.pictures(images=True)
        (vector,) = self._encoder.encode([query], kind="query")
        return fetch(view, found := view.near(vector, k, where), "image", cosine=dict(found))

    def by_image(self, image: bytes, k: int, where: Where | None = None, *, images: bool) -> list[Hit]:
        """At most ``k`` passages, or images, best first.

        Raises:
            ConfigError: passages are wanted, and image.passages is off.
            ReadError: it is no image.
        """
        if not (images or self._passages):
            raise ConfigError("passages are not encoded for images: set image.passages = true, or look for images")
        view = self._store.pictures(images=images)
        (vector,) = self._encoder.encode_images([image])
        return fetch(view, found := view.near(vector, k, where), "image", cosine=dict(found))
