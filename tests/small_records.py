"""Small pairs and seed examples for tests of synthesize."""

from dataclasses import replace

from acclimate.records import ImageCaption, ImageRef, SeedExample

IMAGE = ImageRef("0" * 64, 8, 8, "image/png")
BLANK = ImageRef("f" * 64, 8, 8, "image/png")


def pair(index: int, caption: str = "Three cells.") -> ImageCaption:
    """Return a pair with a picture and a caption of its own."""
    image = replace(IMAGE, sha256=f"{index:064x}")
    return ImageCaption(f"pair-{index:03d}", image, f"{caption} {index}", "x.json", "unknown")


def seed_example(index: int) -> SeedExample:
    """Return a seed example; all say the same."""
    return SeedExample(f"seed-{index}", IMAGE, "A cell.", "What is it?", "It is a cell.", "cell", "s.json")
