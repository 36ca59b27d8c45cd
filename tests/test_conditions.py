"""Image conditions: donors under every policy, altered pictures, token counts, and subsets of items.

Numbers in brackets are the test groups of the definition of visual reliance that a test belongs to.
"""

import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

import acclimate.lab
from acclimate.artifacts import ReplyLog
from acclimate.engines.encode import encode
from acclimate.engines.fake import FakeEngine
from acclimate.engines.families import load_processor
from acclimate.engines.protocol import Message, Request
from acclimate.engines.render import render
from acclimate.errors import BenchmarkError
from acclimate.evaluate.conditions import (
    CONDITIONS,
    POLICIES,
    check_conditions,
    condition_named,
    covered_items,
    left_out,
    n_questions,
    parted,
    shown_images,
    unknown_conditions,
)
from acclimate.evaluate.donors import Policy, contrast_ids, contrast_pairs, donor_by_id
from acclimate.evaluate.normalised import normalised_answer
from acclimate.evaluate.stage import EvaluateConfig, in_order, predict, score
from acclimate.files import ImageStore, blank_png
from acclimate.records import AnswerKind, ImageRef, Item, Prediction

MAPPED: tuple[Policy, ...] = ("within_benchmark", "within_stratum", "cross_stratum", "contrast")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def photo(seed: int, size: tuple[int, int]) -> bytes:
    """A picture all of whose pixels differ, as far as they can."""
    drawn = random.Random(seed).randbytes(size[0] * size[1] * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", size, drawn).save(out, "PNG")
    return out.getvalue()


def item(
    name: str,
    image: ImageRef | None,
    *,
    question: str = "What is it?",
    gold: str = "yes",
    cluster: str = "",
    stratum: str = "",
    kind: AnswerKind = "closed",
    choices: tuple[str, ...] = (),
) -> Item:
    where = cluster or (image.sha256 if image else name)
    return Item(name, "b", question, image, kind, (gold,), choices, where, stratum)


def made_up(name: str, size: tuple[int, int] = (8, 6)) -> ImageRef:
    return ImageRef(hashlib.sha256(name.encode()).hexdigest(), *size, "image/png")


def world(n: int = 24) -> list[Item]:
    """Two questions on each of n pictures of three strata; questions and golds repeat over pictures."""
    return [
        item(
            f"i{picture:02d}{at}",
            made_up(f"p{picture}"),
            question=f"Question {at}?",
            gold=("red", "blue")[picture % 2] if at else "yes",
            stratum="xyz"[picture % 3],
        )
        for picture in range(n)
        for at in range(2)
    ]


# --- names ----------------------------------------------------------------------------------------


def test_every_name_is_known_and_an_unknown_one_is_refused_with_the_nearest() -> None:
    for name in (*CONDITIONS, "mismatch.1", "mismatch_contrast.12", "noise.2", "original.1", "fog_3"):
        assert EvaluateConfig(conditions=(name,)).conditions == (name,)
    for name, said in (
        ("mismach", "'mismatch'"),
        ("blank_blak", "'blank_black'"),
        ("fog_6", "'fog_5'|'fog_"),
        ("mismatch.0", "counted from 1"),
        ("mismatch.x", "counted from 1"),
        ("blank.1", "counted from 1"),
        ("text_only.1", "counted from 1"),
        ("fog_3.1", "counted from 1"),
        ("", "known: original"),
    ):
        with pytest.raises(ValidationError, match=said):
            EvaluateConfig(conditions=(name,))
    assert unknown_conditions(["original", "blnk"]) == [
        "unknown condition 'blnk'; the nearest known one is 'blank'"
    ]
    assert parted("mismatch.2") == ("mismatch", 2)
    assert parted("noise") == ("noise", 0)
    assert condition_named("patch_shuffle.3") == "patch_shuffle.3"


def test_an_unknown_condition_is_refused_where_pictures_are_chosen(store: ImageStore) -> None:
    with pytest.raises(BenchmarkError, match="nearest known one is 'noise'"):
        shown_images(world(), "nois", seed=0, store=store)


# --- donors [7] -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", MAPPED)
def test_group_07_no_donor_shares_content_or_cluster_and_order_and_models_change_nothing(
    policy: Policy,
) -> None:
    items = [replace(each, cluster=f"case {int(each.id[1:3]) // 2}") for each in world()]
    if policy == "cross_stratum":  # a case must not join two strata
        items = world()
    by_id = {each.id: each for each in items}
    donors = donor_by_id(items, 0, policy=policy)
    for one, other in donors.items():
        assert by_id[one].image != by_id[other].image
        assert by_id[one].cluster != by_id[other].cluster
        assert (by_id[one].stratum == by_id[other].stratum) or policy != "within_stratum"
        assert (by_id[one].stratum != by_id[other].stratum) or policy != "cross_stratum"
    shuffled = random.Random(0).sample(items, len(items))
    assert donor_by_id(shuffled, 0, policy=policy) == donors
    assert donor_by_id(items, 1, policy=policy) != donors
    assert donor_by_id(items, 0, policy=policy, replicate=1) != donors
    elsewhere = [replace(each, benchmark="c") for each in items]
    assert donor_by_id(elsewhere, 0, policy=policy) != donors
    if policy != "contrast":
        assert sorted(donors.values()) == sorted(by_id), "every picture is shown as often as before"


def test_group_07_what_is_impossible_is_refused() -> None:
    one_picture = [item(f"i{at}", made_up("p"), stratum="x") for at in range(3)]
    for policy in ("within_benchmark", "within_stratum"):
        with pytest.raises(BenchmarkError, match="3 of its 3 questions"):
            donor_by_id(one_picture, 0, policy=policy)
        with pytest.raises(BenchmarkError, match="1 of its 1 questions"):
            donor_by_id(one_picture[:1], 0, policy=policy)
    uneven = [item(f"i{at}", made_up(f"p{at}"), stratum="x" if at < 4 else "y") for at in range(6)]
    assert len(donor_by_id(uneven, 0, policy="within_stratum")) == 6
    with pytest.raises(BenchmarkError, match="share one stratum"):
        donor_by_id(uneven, 0, policy="cross_stratum")
    alone = [replace(each, stratum="z") if each.id == "i5" else each for each in uneven]
    with pytest.raises(BenchmarkError, match="stratum y: 1 of its 1"):
        donor_by_id(alone, 0, policy="within_stratum")
    with pytest.raises(BenchmarkError, match="has no stratum"):
        donor_by_id([replace(each, stratum="") for each in uneven], 0, policy="within_stratum")


def test_group_07_replicates_are_seeded_maps_of_their_own_and_the_same_for_every_model(
    store: ImageStore,
) -> None:
    items = world()
    maps = [shown_images(items, f"mismatch{name}", seed=0, store=store) for name in ("", ".1", ".2", ".3")]
    assert all(one != other for at, one in enumerate(maps) for other in maps[:at])
    assert shown_images(items, "mismatch.2", seed=0, store=store) == maps[2]
    donors = donor_by_id(items, 0)
    by_id = {each.id: each.image for each in items}
    assert maps[0] == {("b", name): by_id[donor] for name, donor in donors.items()}, (
        "0 is the map of old runs"
    )


# --- contrast -------------------------------------------------------------------------------------


def test_a_contrast_pair_asks_the_same_has_another_answer_and_another_picture() -> None:
    p, q, r = made_up("p"), made_up("q"), made_up("r")
    items = [
        item("a", p, question="Is it  left?", gold="CT"),
        item("b", q, question="is it left?", gold="MRI"),
        item("c", r, question="Is it left?", gold="ct."),  # the same words as a's
        item("d", q, question="Is it left?", gold="X-ray"),  # b's picture
        item("e", made_up("s"), question="Is it left", gold="X-ray"),  # another text
        item("f", None, question="Is it left?", gold="PET"),
    ]
    assert contrast_pairs(items) == [("a", "b"), ("a", "d"), ("b", "c"), ("c", "d")]
    assert contrast_ids(items) == {"a", "b", "c", "d"}
    by_id = {each.id: each for each in items}
    for seed in range(20):
        donors = donor_by_id([each for each in items if each.image], seed, policy="contrast")
        assert donors.keys() == {"a", "b", "c", "d"}
        assert all(tuple(sorted(pair)) in contrast_pairs(items) for pair in donors.items())
    joined = [replace(by_id[name], cluster="one case") for name in ("a", "b")]
    assert contrast_pairs(joined) == []


def test_several_accepted_answers_contrast_where_none_is_shared_and_label_sets_where_they_differ() -> None:
    def golds(kind: AnswerKind, *golds: tuple[str, ...]) -> list[Item]:
        return [
            replace(item(f"i{at}", made_up(f"p{at}"), kind=kind), gold=gold) for at, gold in enumerate(golds)
        ]

    assert contrast_pairs(golds("vqa", ("red", "dark red"), ("Red", "pink"), ("blue",))) == [
        ("i0", "i2"),
        ("i1", "i2"),
    ]
    assert contrast_pairs(golds("multi_label", ("rice", "egg"), ("egg",), ("egg", "rice"))) == [
        ("i0", "i1"),
        ("i1", "i2"),
    ]


def contrast_world() -> list[Item]:
    """Six items with contrast donors and two without."""
    found = [
        item(f"i{at}", made_up(f"p{at}"), question="Same?", gold=("yes", "no")[at % 2]) for at in range(6)
    ]
    return [*found, *(item(f"x{at}", made_up(f"q{at}"), question=f"Other {at}?") for at in range(2))]


def answered(
    items: Sequence[Item], store: ImageStore, *conditions: str, model: str = "base"
) -> list[Prediction]:
    config = EvaluateConfig(conditions=conditions)
    return list(predict(items, FakeEngine(lambda _: "yes"), config, model=model, store=store, log=None))


def test_items_without_a_contrast_donor_are_left_out_counted_and_not_missed(store: ImageStore) -> None:
    items = contrast_world()
    conditions = ("original", "mismatch_contrast", "text_only")
    assert left_out(items, conditions) == {"mismatch_contrast": {"b": 2}}
    assert n_questions(items, conditions) == 8 + 6 + 8
    assert covered_items(items, "mismatch_contrast.3") == {("b", f"i{at}") for at in range(6)}
    predictions = answered(items, store, *conditions)
    assert Counter(each.condition for each in predictions) == {
        "original": 8,
        "mismatch_contrast": 6,
        "text_only": 8,
    }
    assert len(in_order(predictions, items, conditions)) == 22
    both = [*predictions, *answered(items, store, *conditions, model="adapted")]
    assert len({each.item_id for each in score(items, both) if each.condition == "mismatch_contrast"}) == 6


def test_a_subset_must_be_answered_whole_and_nothing_beside_it(store: ImageStore) -> None:
    items = contrast_world()
    predictions = answered(items, store, "mismatch_contrast")
    with pytest.raises(BenchmarkError, match=r"answered 5 items and not the 6.*first missing one is b/i"):
        list(score(items, predictions[:-1]))
    with pytest.raises(BenchmarkError, match="one too many is b/x0"):
        list(score(items, [*predictions, replace(predictions[0], item_id="x0")]))


def test_a_contrast_that_nothing_has_is_refused_before_anything_is_asked(store: ImageStore) -> None:
    items = contrast_world()[6:]
    with pytest.raises(BenchmarkError, match="leave it out"):
        shown_images(items, "mismatch_contrast", seed=0, store=store)
    with pytest.raises(BenchmarkError, match="leave it out"):
        check_conditions(items, ["original", "mismatch_contrast.1"], seed=0)
    check_conditions(items, ["original", "blank", "mismatch"], seed=0)


# --- altered pictures [13] ------------------------------------------------------------------------

SIZES = ((64, 48), (50, 37), (16, 16), (7, 5), (3, 90), (1, 1), (2, 1))


def shown_under(
    store: ImageStore, condition: str, refs: Sequence[ImageRef], seed: int = 0
) -> list[np.ndarray]:
    items = [item(f"i{at}", ref) for at, ref in enumerate(refs)]
    shown = shown_images(items, condition, seed=seed, store=store)
    found = [shown["b", f"i{at}"] for at in range(len(refs))]
    return [np.asarray(store.open(ref)) for ref in found if ref is not None]


@pytest.mark.parametrize(
    "condition", [name for name in CONDITIONS if not name.endswith(("_1", "_2", "_4", "_5"))]
)
def test_group_13_every_condition_keeps_height_and_width(store: ImageStore, condition: str) -> None:
    if condition == "text_only" or condition in POLICIES:
        return
    sizes = [size for size in SIZES if min(size) > 2] if condition.endswith("_3") else list(SIZES)
    refs = [store.add(photo(at, size)) for at, size in enumerate(sizes)]
    for size, pixels in zip(sizes, shown_under(store, condition, refs), strict=True):
        assert pixels.shape == (size[1], size[0], 3)


def test_group_13_uniform_pictures_have_the_level_they_say(store: ImageStore) -> None:
    half = Image.new("RGB", (10, 4), (200, 100, 0))
    half.paste((100, 50, 9), (0, 0, 5, 4))
    out = io.BytesIO()
    half.save(out, "PNG")
    ref = store.add(out.getvalue())
    for condition, colour in (
        ("blank", (128, 128, 128)),
        ("blank_black", (0, 0, 0)),
        ("blank_white", (255, 255, 255)),
        ("blank_mean", (150, 75, 4)),
    ):
        (pixels,) = shown_under(store, condition, [ref])
        assert np.unique(pixels.reshape(-1, 3), axis=0).tolist() == [list(colour)]
    blank = shown_images([item("a", ref)], "blank", seed=0, store=store)["b", "a"]
    assert blank == store.add(blank_png(10, 4, 128)), "the bytes that earlier runs have asked about"


@pytest.mark.parametrize("condition", ["patch_shuffle", "pixel_shuffle"])
@pytest.mark.parametrize("size", SIZES)
def test_group_13_shuffles_keep_the_multiset_of_pixels_and_move_them(
    store: ImageStore, condition: str, size: tuple[int, int]
) -> None:
    ref = store.add(photo(1, size))
    before = np.asarray(store.open(ref))
    (after,) = shown_under(store, condition, [ref])
    assert Counter(map(bytes, before.reshape(-1, 3))) == Counter(map(bytes, after.reshape(-1, 3)))
    if size[0] * size[1] > 1 and not (condition == "patch_shuffle" and size == (2, 1)):
        assert not np.array_equal(before, after)


def test_group_13_patches_move_whole(store: ImageStore) -> None:
    ref = store.add(photo(2, (64, 48)))
    before = np.asarray(store.open(ref))
    (after,) = shown_under(store, "patch_shuffle", [ref])

    def patches(pixels: np.ndarray) -> list[bytes]:
        return [pixels[y : y + 16, x : x + 16].tobytes() for y in range(0, 48, 16) for x in range(0, 64, 16)]

    assert sorted(patches(before)) == sorted(patches(after))
    ragged = store.add(photo(2, (50, 70)))
    (moved,) = shown_under(store, "patch_shuffle", [ragged])
    still = np.asarray(store.open(ragged))
    for area in (np.s_[:64, :48], np.s_[:64, 48:], np.s_[64:, :48]):
        assert sorted(map(bytes, moved[area].reshape(-1, 3))) == sorted(
            map(bytes, still[area].reshape(-1, 3))
        )
        assert not np.array_equal(moved[area], still[area])
    assert patches(before) != patches(after)


@pytest.mark.parametrize("condition", ["noise", "patch_shuffle", "pixel_shuffle"])
def test_group_13_what_is_drawn_is_drawn_per_picture_seed_and_replicate(
    store: ImageStore, condition: str
) -> None:
    refs = [store.add(photo(at, (40, 40))) for at in range(2)]
    first, second = shown_under(store, condition, refs)
    again = shown_under(store, condition, refs[::-1])
    assert np.array_equal(first, again[1])
    assert np.array_equal(second, again[0])
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, shown_under(store, condition, refs[:1], seed=1)[0])
    assert not np.array_equal(first, shown_under(store, f"{condition}.1", refs[:1])[0])


def test_noise_is_uniform_and_its_pixels_are_the_same_everywhere(store: ImageStore) -> None:
    ref = store.add(photo(5, (200, 200)))
    (pixels,) = shown_under(store, "noise", [ref])
    counts = np.bincount(pixels.ravel(), minlength=256)
    expected = pixels.size / 256
    assert float(((counts - expected) ** 2 / expected).sum()) < 340  # chi squared, 255 degrees: p = 0.0003
    drawn = hashlib.shake_256(f"0/noise/{ref.sha256}".encode()).digest(6)
    assert pixels[0, :2].tobytes() == drawn


def test_questions_on_one_picture_share_every_altered_picture(store: ImageStore) -> None:
    ref, same_size = store.add(photo(1, (20, 20))), store.add(photo(2, (20, 20)))
    items = [item("a", ref), item("b", ref), item("c", same_size), item("d", None)]
    for condition, n in (("blank", 1), ("blank_mean", 2), ("noise", 2), ("pixel_shuffle", 2), ("fog_1", 2)):
        shown = shown_images(items, condition, seed=0, store=store)
        assert shown["b", "a"] == shown["b", "b"]
        assert len({each for each in shown.values() if each}) == n
        assert shown["b", "d"] is None


def test_a_corruption_does_not_depend_on_the_seed(store: ImageStore) -> None:
    ref = store.add(photo(1, (40, 40)))
    one, other = (shown_under(store, "gaussian_noise_3", [ref], seed=seed)[0] for seed in (0, 1))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, np.asarray(store.open(ref)))


def test_group_13_blank_and_the_others_keep_the_token_count_and_text_only_has_no_image_tokens(
    store: ImageStore,
) -> None:
    weights = Path(acclimate.lab.__file__).parent / "weights" / "general-mllm"
    processor = load_processor(weights)
    ref = store.add(photo(3, (64, 64)))
    shown_item = item("a", ref)

    def n_image_tokens(condition: str) -> int:
        image = shown_images(
            [shown_item, item("z", store.add(photo(4, (64, 64))))], condition, seed=0, store=store
        )["b", "a"]
        images = [] if image is None else [store.open(image)]
        rendered = render(processor, [Message("user", shown_item.question)], len(images), "assistant")
        row = encode(processor, rendered, images)
        return row.input_ids.count(processor.image_token_id)

    n = n_image_tokens("original")
    assert n > 0
    for condition in ("mismatch", "blank", "blank_mean", "noise", "patch_shuffle", "pixel_shuffle", "fog_2"):
        assert n_image_tokens(condition) == n
    assert n_image_tokens("text_only") == 0


# --- what is asked --------------------------------------------------------------------------------


def test_all_else_is_the_same_to_the_byte_and_text_only_has_no_picture(store: ImageStore) -> None:
    refs = [store.add(photo(at, (20, 20))) for at in range(4)]
    items = [item(f"i{at}", ref, question=f"{at}?") for at, ref in enumerate(refs)]
    asked: list[Request] = []

    def reply(request: Request) -> str:
        asked.append(request)
        return "yes"

    conditions = ("original", "mismatch", "mismatch.1", "blank", "noise", "pixel_shuffle", "text_only")
    config = EvaluateConfig(conditions=conditions)
    list(predict(items, FakeEngine(reply), config, model="base", store=store, log=None))
    by_item = Counter((request.messages[0].text, request.sampling) for request in asked)
    assert set(by_item.values()) == {len(conditions)}
    assert {len(request.messages) for request in asked} == {1}
    text_only = [request for request in asked if request.id.endswith("text_only")]
    assert len(text_only) == 4
    assert all(request.messages[0].images == () for request in text_only)
    assert all(len(request.messages[0].images) == 1 for request in asked if request not in text_only)


def test_a_retest_is_asked_again_and_not_read_from_the_log(store: ImageStore, tmp_path: Path) -> None:
    refs = [store.add(photo(at, (20, 20))) for at in range(2)]
    items = [item(f"i{at}", ref) for at, ref in enumerate(refs)]
    asked: list[str] = []

    def reply(request: Request) -> str:
        asked.append(request.id)
        return f"answer {len(asked)}"

    found = []
    for conditions in (("original",), ("original", "original.1")):  # the second run has the first one's log
        config = EvaluateConfig(conditions=conditions)
        log = ReplyLog(tmp_path / "log")
        found = list(predict(items, FakeEngine(reply), config, model="base", store=store, log=log))
    assert len(asked) == 4
    assert len({each.text for each in found}) == 4
    assert {each.image for each in found} == set(refs)


@pytest.mark.parametrize(
    ("kind", "gold", "choices", "same", "other"),
    [
        ("closed", "yes", (), ("Yes.", " yes", "yes, there is"), "No"),
        ("closed", "left", ("left", "right"), ("Left", "the left."), "right"),
        ("open", "two lungs", (), ("Two lungs!", "2 lungs", "the two lungs"), "lungs two"),
        ("choice", "heart", ("lung", "heart"), ("B", "(b) heart", "Heart."), "A"),
        ("multi_label", "egg", ("rice", "egg"), ("Egg and rice", "rice, egg"), "egg"),
    ],
)
def test_replies_that_say_the_same_are_one_answer(
    kind: AnswerKind, gold: str, choices: tuple[str, ...], same: tuple[str, ...], other: str
) -> None:
    asked = item("a", None, kind=kind, gold=gold, choices=choices)
    assert len({normalised_answer(asked, text) for text in same}) == 1
    assert normalised_answer(asked, other) != normalised_answer(asked, same[0])
    assert normalised_answer(asked, "?!") != normalised_answer(asked, same[0])
    assert kind == "open" or normalised_answer(asked, "?!") != normalised_answer(asked, "none")


# --- the real layout ------------------------------------------------------------------------------


def slake(shared_data: Path) -> list[Item]:
    rows = json.loads((shared_data / "slake_text" / "test.json").read_text(encoding="utf-8"))
    return [
        replace(
            item(
                str(row["qid"]),
                made_up(row["img_name"]),
                question=row["question"],
                gold=row["answer"],
                stratum=row["modality"],
                kind="closed" if row["answer_type"] == "CLOSED" else "open",
            ),
            benchmark="slake",
        )
        for row in rows
        if row["q_lang"] == "en"
    ]


@pytest.mark.data
def test_the_real_slake_layout_has_99_contrast_groups_with_3695_pairs_over_714_items(
    shared_data: Path,
) -> None:
    items = slake(shared_data)
    pairs = contrast_pairs(items)
    by_id = {each.id: each for each in items}
    groups = {" ".join(by_id[one].question.casefold().split()) for one, _ in pairs}
    assert (len(groups), len(pairs), len({name for pair in pairs for name in pair})) == (99, 3695, 714)
    assert len(contrast_ids(items)) == 714
    assert left_out(items, ["mismatch_contrast"]) == {"mismatch_contrast": {"slake": 1061 - 714}}
    # The same when closed and open questions are benchmarks of their own, as they are when scored.
    parts = [[each for each in items if each.kind == kind] for kind in ("closed", "open")]
    assert sum(len(contrast_pairs(part)) for part in parts) == 3695


@pytest.mark.data
@pytest.mark.parametrize("policy", MAPPED)
def test_group_07_the_real_slake_layout_has_donors_under_every_policy(
    shared_data: Path, policy: Policy
) -> None:
    items = slake(shared_data)
    by_id = {each.id: each for each in items}
    donors = donor_by_id(items, 0, policy=policy)
    assert len(donors) == (714 if policy == "contrast" else 1061)
    assert all(by_id[one].image != by_id[other].image for one, other in donors.items())
    if policy.endswith("stratum"):
        is_within = policy == "within_stratum"
        assert all((by_id[a].stratum == by_id[b].stratum) == is_within for a, b in donors.items())
    if policy == "contrast":
        assert all(by_id[a].gold != by_id[b].gold for a, b in donors.items())
    assert donor_by_id(items[::-1], 0, policy=policy) == donors


def test_a_picture_is_made_once_for_all_models_and_runs(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = store.add(photo(1, (40, 40)))
    items = [item("a", ref), item("b", ref)]
    conditions = ("blank", "blank_mean", "noise", "noise.1", "fog_1")
    first = [shown_images(items, each, seed=0, store=store) for each in conditions]
    opened: list[ImageRef] = []
    again = ImageStore(store.root)
    monkeypatch.setattr(ImageStore, "add", lambda self, data: pytest.fail("made twice"))
    monkeypatch.setattr(ImageStore, "open", lambda self, image: opened.append(image))
    assert [shown_images(items, each, seed=0, store=again) for each in conditions] == first
    assert opened == []
    monkeypatch.undo()
    # What is gone from the store, or was written half, is made again.
    noisy = first[2]["b", "a"]
    assert noisy is not None
    path = store.locate(noisy)
    assert path is not None
    path.unlink()
    with (store.root / "altered" / "noise.jsonl").open("a") as handle:
        handle.write('{"key": "torn')
    assert shown_images(items, "noise", seed=0, store=ImageStore(store.root)) == first[2]
    assert store.locate(noisy) is not None
    assert shown_images(items, "noise", seed=1, store=store) != first[2]
