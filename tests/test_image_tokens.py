"""Visual tokens are told from picture sizes alone, exactly as preprocessing the pictures tells them."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from PIL import Image

from acclimate.engines.encode import preprocess_image
from acclimate.engines.families import FAMILIES, load_processor
from acclimate.engines.image_tokens import image_tokens
from acclimate.errors import EngineError
from tests import tiny_models

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "qwen2_vl": tiny_models.tiny_qwen2_vl,
    "qwen2_5_vl": tiny_models.tiny_qwen2_5_vl,
    "qwen3_vl": tiny_models.tiny_qwen3_vl,
    "llava": tiny_models.tiny_llava,
    "llava_next": tiny_models.tiny_llava_next,
    "mllama": tiny_models.tiny_mllama,
}
EXTREME = (
    *((1, 1), (2, 2), (3, 3), (1, 3), (3, 1), (1, 1000), (1000, 1), (3, 500), (500, 3), (4000, 20)),
    *((199, 1), (200, 1), (201, 1), (1, 199), (1, 200), (1, 201), (32, 32), (33, 32), (32, 33), (64, 64)),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {name: build(root / name) for name, build in BUILDERS.items()}


def sizes(seed: str, count: int) -> list[tuple[int, int]]:
    """Return extreme sizes, and random ones of all shapes."""
    rng = random.Random(seed)
    even = [(rng.randint(1, 500), rng.randint(1, 500)) for _ in range(count // 2)]
    steep = [(int(2 ** rng.uniform(0, 10)), int(2 ** rng.uniform(0, 10))) for _ in range(count - count // 2)]
    return [*EXTREME, *even, *steep]


def preprocessed(processor: Any, row: list[tuple[int, int]]) -> tuple[int, ...] | str:
    """Return the counts of real pictures, or the refusal's words."""
    try:
        return preprocess_image(processor, [Image.new("RGB", size, (9, 99, 200)) for size in row]).n_tokens
    except EngineError as error:
        return str(error)


def told(processor: Any, row: list[tuple[int, int]]) -> tuple[int, ...] | str | None:
    try:
        return image_tokens(processor, row)
    except EngineError as error:
        return str(error)


def test_every_family_is_tested() -> None:
    assert set(BUILDERS) == {family.model_type for family in FAMILIES}


@pytest.mark.parametrize("name", BUILDERS)
def test_counts_and_refusals_of_any_size_equal_those_of_real_pictures(
    folders: dict[str, Path], name: str
) -> None:
    processor = load_processor(folders[name])
    found = [(size, told(processor, [size]), preprocessed(processor, [size])) for size in sizes(name, 200)]
    assert [each for each in found if each[1] != each[2]] == []
    refused = [size for size, count, _ in found if isinstance(count, str)]
    assert bool(refused) == name.startswith("qwen")
    assert all(max(size) > 200 * min(size) for size in refused)


@pytest.mark.parametrize("name", BUILDERS)
def test_rows_of_several_pictures_are_counted_picture_by_picture(folders: dict[str, Path], name: str) -> None:
    processor = load_processor(folders[name])
    assert image_tokens(processor, []) == ()
    for row in ([(64, 64), (300, 20)], [(20, 300), (31, 33), (90, 90)]):
        assert told(processor, row) == preprocessed(processor, row)
    if name.startswith("qwen"):
        row = [(64, 64), (1, 1000)]
        assert told(processor, row) == preprocessed(processor, row)
        assert "refuses an image (64x64, 1x1000 pixels" in str(told(processor, row))


def test_a_processor_set_differently_is_counted_differently(folders: dict[str, Path]) -> None:
    qwen = load_processor(folders["qwen2_vl"])
    before = image_tokens(qwen, [(400, 300)])
    qwen.image_processor.size["longest_edge"] = 2048
    assert image_tokens(qwen, [(400, 300)]) == preprocessed(qwen, [(400, 300)]) != before
    llava = load_processor(folders["llava"])
    assert image_tokens(llava, [(400, 300)]) == (16,)
    llava.image_processor.crop_size = {"height": 24, "width": 40}
    assert image_tokens(llava, [(400, 300)]) == preprocessed(llava, [(400, 300)]) == (15,)


def test_a_picture_that_keeps_its_shape_cannot_be_counted_by_its_size(folders: dict[str, Path]) -> None:
    llava = load_processor(folders["llava"])
    llava.image_processor.do_center_crop = False
    assert image_tokens(llava, [(64, 32)]) is None
    assert preprocessed(llava, [(64, 32)]) != preprocessed(llava, [(32, 32)])


def test_a_siglip_tower_squeezes_every_picture_to_one_shape(folders: dict[str, Path]) -> None:
    llava = load_processor(folders["llava"])
    llava.image_processor = transformers.SiglipImageProcessorPil(size={"height": 32, "width": 48})
    llava.num_additional_image_tokens, llava.vision_feature_select_strategy = 0, "full"
    for size in sizes("siglip", 30):
        assert told(llava, [size]) == preprocessed(llava, [size]) == (24,)


def test_what_a_processor_tells_wrongly_is_not_trusted(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = load_processor(folders["qwen3_vl"])
    kind = type(processor.image_processor)
    monkeypatch.setattr(kind, "get_number_of_image_patches", lambda *_: 4)
    assert image_tokens(processor, [(64, 64)]) is None


def test_an_unknown_family_has_no_counts(folders: dict[str, Path]) -> None:
    processor = load_processor(folders["llava"])
    processor.__class__ = type("SomeProcessor", (type(processor),), {})
    assert image_tokens(processor, [(64, 64)]) is None
