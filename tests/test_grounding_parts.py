"""Grounding's pure parts: words, numbers, names, sentences, what speaks against a claim."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.grounding.claims import cut_offs, question_of, title_of
from acclimate.grounding.conflicts import conflicts
from acclimate.grounding.decoding import BadDocument, decoded
from acclimate.grounding.features import coverage, features
from acclimate.grounding.names import holds_name, names
from acclimate.grounding.passages import Line, Passage, sentences, windows
from acclimate.grounding.quantities import numbers, same_meaning, same_number
from acclimate.grounding.question import check_question
from acclimate.grounding.reading import read
from acclimate.grounding.words import content, stem, unglued, words

RELATIVE = "LLaVA yields a 85.1% relative score compared with GPT-4 on a synthetic dataset."
ACCURACY = (
    "LLaVA achieves 85.1% of GPT-4's accuracy on multimodal benchmarks and a score of 92.53% on Science QA."
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("images", "image"),
        ("trained", "training"),
        ("studies", "study"),
        ("improves", "enhanced"),
        ("fell", "decreasing"),
        ("generating", "produced"),
    ],
)
def test_forms_and_like_words_have_one_stem(one: str, other: str):
    assert stem(one) == stem(other)


@pytest.mark.parametrize(("one", "other"), [("loss", "lose"), ("process", "proceed"), ("analysis", "analog")])
def test_other_words_keep_stems_of_their_own(one: str, other: str):
    assert stem(one) != stem(other)


def test_words_are_folded_and_possessives_are_taken_off():
    assert words("GPT‑4’s Score: 85.1%") == ["gpt", "4", "score", "85.1%"]


def test_content_has_no_stop_words_and_no_numbers():
    assert content("The loaf is baked for 35 minutes") == [stem("loaf"), stem("baked"), stem("minutes")]


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("generaltrainingcontains", ["general", "training", "contains"]),
        ("trainingxgeneral", ["trainingxgeneral"]),
        ("containsinthegeneral", ["contains", "in", "the", "general"]),
    ],
)
def test_glued_words_are_taken_apart_where_all_parts_are_known(word: str, parts: list[str]):
    assert unglued(word, {"general", "training", "contains", "in", "the"}) == parts


def test_unglueing_goes_back_where_the_longest_part_leads_nowhere():
    assert unglued("abcde", {"abcd", "abc", "de"}) == ["abc", "de"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a score of 92.53%.", [("92.53", "%")]),
        ("1,204 households and 80k pairs", [("1204", ""), ("80000", "")]),
        ("3.5 million dollars? $3.5 million", [("3500000", "dollar"), ("3500000", "$")]),
        ("GPT-4, LLaVA-v1.6-8B, 3D and COVID-19", []),
        ("as in [22] and [7, 32]", []),
        ("30 minutes at 230 °C", [("30", "min"), ("230", "°c")]),
        ("ten papers, two-stage training, one idea", [("10", ""), ("2", "")]),
        ("an average of −0.17% and +19.6%", [("-0.17", "%"), ("19.6", "%")]),
        ("2 percentage points or 2 percent", [("2", "points"), ("2", "%")]),
        ("pages 12-15", [("12", ""), ("15", "")]),
    ],
)
def test_numbers_are_read_with_their_units(text: str, expected: list[tuple[str, str]]):
    assert [(each.value, each.unit) for each in numbers(text)] == expected


def test_what_a_number_measures_is_read_from_its_part_of_the_sentence():
    first, second = numbers(ACCURACY)
    assert first.measures == {"accuracy"}
    assert second.measures == {"score"}
    (relative,) = numbers(RELATIVE)
    assert relative.measures == {"relative score"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("85.1%", "85.10%", True),
        ("85.1%", "85.1 points", False),
        ("85.1%", "85.1", False),
        ("30", "30 min", True),
        ("1,000", "1000", True),
        ("80k", "80,000", True),
        ("5 mg", "5 g", False),
        ("-3%", "3%", False),
    ],
)
def test_numbers_are_compared_exactly(one: str, other: str, *, same: bool):
    (first,), (second,) = numbers(f"it is {one}"), numbers(f"it is {other}")
    assert same_number(first, second) is same


def test_a_bare_score_may_be_an_accuracy_and_a_relative_score_may_not():
    (accuracy,) = numbers("an accuracy of 92.53%")
    (bare,) = numbers("a score of 92.53%")
    (relative,) = numbers("a relative score of 92.53%")
    assert same_meaning(accuracy, bare)
    assert not same_meaning(accuracy, relative)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("When fine-tuned on Science QA, LLaVA beats GPT-4.", ("Science QA", "LLaVA", "GPT-4")),
        ("Pneumonia is an infection.", ()),
        ("The Visual Reliance Score (VRS) of models", ("Visual Reliance Score",)),
        ("large language models (LLMs) were tuned", ()),
        ("GPT-4-generated data of LLaVA-Med", ("GPT-4", "LLaVA-Med")),
        ("Einstein Published A Theory Of Relativity In Annalen", ()),
        ("tenants give three months' notice", ()),
    ],
)
def test_proper_names_are_found(text: str, expected: tuple[str, ...]):
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "name", "held"),
    [
        ("on the ScienceQA test", "Science QA", True),
        ("GPT-4V wrote it", "GPT-4", False),
        ("LLaVA-Med was trained", "LLaVA", False),
        ("LLaVA's encoder", "LLaVA", True),
        ("a large language model", "LLM", True),
        ("many LLMs", "LLM", True),
        ("gpt-4 wrote it", "GPT-4", True),
    ],
)
def test_names_are_held_exactly_but_for_case_and_marks(text: str, name: str, *, held: bool):
    assert holds_name(text, name) is held


def lines(text: str) -> list[Line]:
    return [Line(number, None, line) for number, line in enumerate(text.split("\n"), start=1)]


def test_sentences_carry_the_line_they_start_on():
    found = sentences(lines("First one here. Second one\n\n# A heading\n- an item\n- another item"))
    assert [(each.text, each.line) for each in found] == [
        ("First one here.", 1),
        ("Second one", 1),
        ("A heading", 3),
        ("an item", 4),
        ("another item", 5),
    ]


def test_wrapped_lines_are_joined_and_parted_words_are_mended():
    text = (
        "The experiments were done by two teams in two large laborato-\n"
        "ries, and both of the teams had the very same laboratories and\n"
        "tools. The end."
    )
    found = [each.text for each in sentences(lines(text))]
    assert found[0].startswith("The experiments were done by two teams in two large laboratories, and both")
    assert found[-1] == "The end."


def test_a_document_of_long_lines_keeps_each_line_apart():
    text = "Results\n" + "word " * 60 + "\nEthics\nLoRA"
    assert next(each.text for each in sentences(lines(text))) == "Results"
    assert [each.text for each in sentences(lines(text))][-2:] == ["Ethics", "LoRA"]


def test_abbreviations_end_no_sentence():
    found = sentences(lines("Smith et al. Found nothing, e.g. No mice. Then it ended."))
    assert [each.text for each in found] == ["Smith et al. Found nothing, e.g. No mice.", "Then it ended."]


def test_windows_hold_the_sentence_and_stay_in_the_document():
    assert list(windows(0, 2)) == [Passage(0, 1), Passage(0, 2)]
    assert all(each.start <= 5 < each.start + each.length for each in windows(5, 9))
    assert len(list(windows(5, 9))) == 6


SIGNS = [*"aZé9 .,-'’%()[]|#*\n\t-²½٣$€/:;!?\u200b漢", "GPT-4", " than ", " not ", "s' ", " of ", "more "]
ODD = st.lists(st.sampled_from(SIGNS), max_size=60).map("".join)


@settings(max_examples=200, deadline=None)
@given(claim=ODD, passage=ODD)
def test_any_text_can_be_read_and_compared(claim: str, passage: str):
    found = features(read(claim), [read(each.text) for each in sentences(lines(passage))], {})
    assert all(0.0 <= value <= 2.0 for value in found.vector())
    assert len(cut_offs([claim, passage])) == 2


def kinds(claim: str, sentence: str) -> set[str]:
    one, other = read(claim), read(sentence)
    return {each.kind for each in conflicts(one, other, coverage(one.stems, set(other.stems), {}))}


@pytest.mark.parametrize(
    ("claim", "sentence", "kind"),
    [
        (RELATIVE, ACCURACY, "other_quantity"),
        ("The scrap rate fell to 2.9%.", "The scrap rate fell to 1.9% in May.", "other_number"),
        ("The vaccine reduced transmission.", "The vaccine did not reduce transmission.", "negation"),
        ("The filter fails to remove noise.", "The filter removes noise.", "negation"),
        ("No water was found on the moon.", "Water was found on the moon.", "negation"),
        ("Rivers carry more sediment today.", "Rivers carry less sediment today.", "opposite"),
        ("The error rate increased.", "The error rate decreased.", "opposite"),
        ("Oil browns faster than butter.", "Butter browns faster than oil.", "opposite"),
        ("Mice outperform rats in the maze.", "Rats outperform mice in the maze.", "opposite"),
        ("Code and weights were available.", "Code and weights were unavailable.", "negation"),
    ],
)
def test_what_speaks_against_a_claim_is_named(claim: str, sentence: str, kind: str):
    assert kind in kinds(claim, sentence)


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        ("LLaVA has a 85.1% relative score compared with GPT-4.", RELATIVE),
        ("The accuracy on Science QA is 92.53%.", "On Science QA it has a score of 92.53%."),
        ("The vaccine did not reduce transmission.", "Transmission was not reduced by the vaccine."),
        ("Butter browns slower than oil.", "Oil browns faster than butter."),
        (
            "Full tuning harms robustness.",
            "Light tuning does not harm skill, but full tuning harms robustness.",
        ),
        ("The gearbox needs oil.", "The gearbox must not be run without oil."),
        ("More than 17 models were tested.", "Fewer faults were seen when 17 models were tested."),
        ("Bread is baked with flour.", "The moon is not made of cheese."),
        ("The model is not only small but fast.", "The model is small and fast."),
    ],
)
def test_what_agrees_or_is_about_something_else_is_not_flagged(claim: str, sentence: str):
    assert kinds(claim, sentence) == set()


def test_features_of_a_verbatim_passage_are_the_best_there_are():
    one = read("LLaVA yields a 85.1% relative score compared with GPT-4.")
    assert features(one, [one], {}).vector() == (1.0, 1.0, 0.0, 0.0, 0.0, 0.0)


def test_features_count_what_is_missing():
    claim = read("LLaVA and CLIP reached 85.1% in 12 tests.")
    found = features(claim, [read("In tests LLaVA reached 85.1%.")], {})
    assert found.missing_numbers == 0.5
    assert found.missing_names == 0.5
    assert found.coverage == 0.75  # llava, reach and test of llava, clip, reach and test


def test_rare_words_weigh_more():
    assert coverage(["model", "gelatin"], {"gelatin"}, {"model": 0.25}) == 0.8
    assert coverage([], {"gelatin"}, {}) == 0.0


def test_the_last_word_of_a_truncated_claim_is_left_out():
    claim = read("It makes multimodal instruction-follow", truncated=True)
    assert stem("instruction") in claim.stems
    assert stem("follow") not in claim.stems


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (["It is cut off at the", "A full sentence."], [True, False]),
        (["It ends with dots …"], [True]),
        (["A short heading", "A full sentence."], [False, False]),
        (["a" * 50 + " " + "b" * 60, "A full sentence."], [True, False]),
        (["x" * 120], [True]),
        (["Plain words without a full stop"], [False]),
    ],
)
def test_claims_that_end_in_mid_sentence_are_seen(claims: list[str], expected: list[bool]):
    assert cut_offs(claims) == expected


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param("naïve – café".encode(), "naïve – café", id="utf-8"),
        pytest.param("naïve café".encode("utf-8-sig"), "naïve café", id="utf-8 with a mark"),
        pytest.param("naïve café".encode("utf-16"), "naïve café", id="utf-16 with a mark"),
        pytest.param("naive cafe".encode("utf-16-le"), "naive cafe", id="utf-16 little end first, no mark"),
        pytest.param("naive cafe".encode("utf-16-be"), "naive cafe", id="utf-16 big end first, no mark"),
        pytest.param("naïve café".encode("latin-1"), "naïve café", id="latin-1"),
        pytest.param(b"a\r\nb\rc", "a\nb\nc", id="line ends"),
    ],
)
def test_text_is_decoded(data: bytes, text: str):
    assert decoded(data) == text


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b" \n\t", "empty"), (bytes(range(1, 32)) * 9, "not_text"), (b"\xff\xfea", "not_text")],
)
def test_bytes_that_are_no_text_are_refused(data: bytes, reason: str):
    with pytest.raises(BadDocument) as refused:
        decoded(data)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("text", "title", "question"),
    [
        ("Title: A study\n\nResearch question: Does it work?. More", "A study", "Does it work?"),
        ("# A study\n\n## Research Question\nDoes it work?", "A study", "Does it work?"),
        ("A study\n\nThis paper examines why bread rises slowly?", "A study", "why bread rises slowly?"),
        ("- one claim\n- another", "", ""),
        ("A claim that ends.\nAnother one.", "", ""),
    ],
)
def test_title_and_question_of_a_text_are_found(text: str, title: str, question: str):
    assert title_of(text) == title
    assert question_of(text) == question


def test_a_claim_bears_on_a_question_by_its_names_or_by_half_of_its_words():
    question = "How does the Visual Reliance Score (VRS) compare between synthetic and authentic pairs?"
    claims = [
        "VRS is higher on authentic pairs.",
        "The Visual Reliance Score falls.",
        "LLaVA is an end-to-end model.",
        "Synthetic and authentic visual pairs compare well in reliance.",
    ]
    found = check_question(question, claims, {})
    assert found.bearing == (True, True, False, True)
    assert found.terms == ("Visual Reliance Score", "VRS")
    assert found.terms_never_named == ()
    assert check_question(question, claims[2:3], {}).terms_never_named == ("Visual Reliance Score", "VRS")
