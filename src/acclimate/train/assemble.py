"""Assembling a LLaVA from a causal language model and a CLIP or SigLIP vision encoder.

Both parts keep their weights, bit for bit where they are stored alike; between them stands a fresh projector,
which LLaVA's first training stage teaches while the parts are frozen. The folder that comes out opens in
plain transformers and in vLLM. The way back, from a multimodal model to its language model, is in `extract`.
"""
# ruff: noqa: ANN401

import copy
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2
import torch
import transformers
from PIL import Image
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from acclimate.engines.checkpoint import folder_digest
from acclimate.engines.encode import preprocess_image
from acclimate.engines.families import FAMILIES, load_model, load_processor, module_group
from acclimate.engines.render import RenderError, render, template_of
from acclimate.engines.settings_file import read_json_object
from acclimate.errors import EngineError
from acclimate.files import sha256_file, write_json
from acclimate.licences import derived_licence
from acclimate.records import Turn
from acclimate.train.image_template import (
    CHATML_TOKENS,
    IMAGE_TOKEN,
    chatml_template,
    plain_template,
    with_pictures,
)
from acclimate.train.parts import (
    LanguagePart,
    VisionPart,
    load_language,
    load_vision,
    open_language,
    open_vision,
    vision_config,
)
from acclimate.train.plain_folder import (
    REMEDY,
    new_folder,
    require_free,
    save_card,
    save_tokenizer,
    save_weights,
)
from acclimate.train.save import save_policy

TemplateName = Literal["own", "plain", "chatml"]

PAD_TOKEN = "<pad>"
PROBE_TEXT = "The picture shows three round red cells and 2 green beans: is that right?"
"""What the assembled model must answer as its language model does."""
_SAME = 1e-4
"""Of the largest logit: what the same weights may differ by in another class. Our own rule."""

_LIBRARY: Any = transformers
_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
_TURNS = (Turn("user", "How many?", trained=False), Turn("assistant", "Three.", trained=True))
_MODELS = {
    "llava": ("LlavaConfig", "LlavaForConditionalGeneration", "LlavaProcessor"),
    "llava_next": ("LlavaNextConfig", "LlavaNextForConditionalGeneration", "LlavaNextProcessor"),
}


class AssembleConfig(BaseModel):
    """How two parts become one model. Everything decides the result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["llava", "llava_next"] = "llava"
    """`llava` gives every picture the same number of tokens; `llava_next` also reads it in tiles."""
    projector: Literal["mlp", "linear"] = "mlp"
    """`mlp` is LLaVA-1.5's: two layers with GELU between. `linear` has nothing between them, and the second
    begins as the identity: one linear map, as LLaVA's first version had. vLLM 0.32 cannot serve `linear`."""
    template: TemplateName = "own"
    """`own` keeps the language model's chat template (`plain` where it has none)."""
    vision_layer: int | None = None
    """Whose output the projector reads, counted from the encoder's end; None takes the last but one (-2)."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Of the stored weights; `auto` takes the language model's."""
    seed: int = 0
    """Of the projector's fresh weights (and of LLaVA-NeXT's line-break vector)."""


@dataclass(frozen=True, slots=True)
class AssemblyPlan:
    """What an assembly comes to; known before weights are loaded."""

    kind: str
    language: str
    """Class of the language model, in transformers."""
    vision: str
    """CLIP or SigLIP."""
    parameters: dict[str, int]
    """By module group: vision, projector, language."""
    vision_width: int
    language_width: int
    image_px: int
    """Side of the square that the encoder reads."""
    image_tokens: int
    """Per picture; for `llava_next` the most that a picture takes."""
    vision_layer: int
    vocabulary: int
    """Rows of the embedding, new ones included."""
    added_tokens: tuple[str, ...]
    """New in the tokenizer."""
    template: TemplateName
    """The one that is used: `plain` where `own` was asked for and there was none."""
    dtype: str
    notes: tuple[str, ...]
    """What to know before using the model."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """An assembly without weights."""

    language: LanguagePart
    vision: VisionPart
    settings: AssembleConfig
    processor: Any
    template: str
    n_old_tokens: int
    """Rows of the embedding that belong to tokens the tokenizer came with."""
    new_ids: tuple[int, ...]
    config: Any
    """Of the model to be."""
    plan: AssemblyPlan

    @property
    def dtype(self) -> torch.dtype:
        return _DTYPES.get(self.settings.dtype, self.language.dtype)


def plan_assembly(llm: Path, vision: Path, config: AssembleConfig) -> AssemblyPlan:
    """Return what `assemble` would make, without loading weights.

    Raises:
        EngineError: see `assemble`.
    """
    return _draft(open_language(llm), open_vision(vision), config).plan


def assemble(llm: Path, vision: Path, out: Path, config: AssembleConfig) -> AssemblyPlan:
    """Write a LLaVA made of two parts and a fresh projector.

    Tokens that the tokenizer lacks are added: `<image>`, a padding token, and ChatML's two where that
    template is asked for. Their rows in embedding and output head are the mean of the old tokens' rows, so
    that they are neither likelier nor stranger than a token that says nothing; every old row stays as it is.
    A head that is tied to the embedding stays tied.

    Args:
        llm: folder of any causal language model that is part of transformers, with a fast tokenizer.
        vision: folder of a CLIP or SigLIP model, whole or its vision model alone, with its image processor.
        out: a new or empty folder; the same parts and settings give the same bytes.
        config: see there.

    Returns:
        What was made.

    Raises:
        EngineError: a part cannot be used (not a model of its kind, pickled weights, no fast tokenizer, no
            image processor, sizes that do not fit), the chat template cannot be taken apart, or the language
            model computes something that a LLaVA has no place for.
        ArtifactError: `out` is not empty.
    """
    require_free(out)
    draft = _draft(open_language(llm), open_vision(vision), config)
    with new_folder(out) as folder:
        model = _joined(draft)
        expected = _probe(model, draft.processor)
        save_weights(model, folder)
        del model
        _save_processor(draft, folder)
        _save_card(draft, folder)
        _check(folder, expected)
    return draft.plan


def _draft(language: LanguagePart, vision: VisionPart, settings: AssembleConfig) -> _Draft:
    tokenizer = language.tokenizer
    old = tokenizer.get_vocab()
    own = _own_template(tokenizer)
    used: TemplateName = "plain" if settings.template == "own" and own is None else settings.template
    template = _template(tokenizer, own, used)
    _add_tokens(language, used)
    vocabulary = tokenizer.get_vocab()
    new_ids = tuple(sorted(vocabulary[token] for token in vocabulary.keys() - old.keys()))
    processor = _processor(language, vision, settings, template)
    _check_template(processor, own if used == "own" else None, language.folder)
    n_rows = max(language.config.vocab_size, max(vocabulary.values()) + 1)
    config = getattr(transformers, _MODELS[settings.kind][0])(
        vision_config=_nameless(vision_config(vision)),
        text_config=_text_config(language, n_rows),
        image_token_index=vocabulary[IMAGE_TOKEN],
        image_seq_length=_tokens_of(processor, vision, "llava"),
        projector_hidden_act="gelu" if settings.projector == "mlp" else "linear",
        vision_feature_select_strategy=vision.encoder.select,
        vision_feature_layer=_layer(vision, settings),
        tie_word_embeddings=bool(language.config.tie_word_embeddings),
        **({"image_grid_pinpoints": _grid(vision)} if settings.kind == "llava_next" else {}),
    )
    plan = AssemblyPlan(
        kind=settings.kind,
        language=_class_name(language),
        vision=vision.encoder.name,
        parameters=_parameters(_skeleton(config, settings.kind, language), settings.kind),
        vision_width=int(vision.config.hidden_size),
        language_width=int(config.text_config.hidden_size),
        image_px=int(vision.config.image_size),
        image_tokens=_tokens_of(processor, vision, settings.kind),
        vision_layer=_layer(vision, settings),
        vocabulary=n_rows,
        added_tokens=tuple(sorted(vocabulary.keys() - old.keys())),
        template=used,
        dtype=_plain(_DTYPES.get(settings.dtype, language.dtype)),
        notes=(
            *_roundings(language, vision, settings),
            *_notes(config, settings, processor, has_template=own is not None),
        ),
    )
    longest = getattr(config.text_config, "max_position_embeddings", None)
    if longest is not None and plan.image_tokens >= longest:
        raise EngineError(
            f"A picture takes {plan.image_tokens} tokens and the language model in {language.folder} reads "
            f"at most {longest}, so they do not fit together. Take an encoder with fewer patches, kind "
            "llava, or a language model that reads more."
        )
    return _Draft(
        language,
        vision,
        settings,
        processor,
        template,
        max(old.values()) + 1,
        new_ids,
        config,
        plan,
    )


# Template and tokenizer


def _own_template(tokenizer: Any) -> str | None:
    """Return the tokenizer's template; the default one where it has several."""
    found = tokenizer.chat_template
    if isinstance(found, dict):
        found = found.get("default")
    return found if isinstance(found, str) and found.strip() else None


def _template(tokenizer: Any, own: str | None, used: TemplateName) -> str:
    """Return the template in a form that takes lists of parts."""
    if used == "own" and own is not None:
        wrapped = with_pictures(own)
        at_once = with_pictures(own, answers_at_once=True)
        is_reasoner = "enable_thinking" in own and not _prompts_as_written(tokenizer, wrapped)
        return at_once if is_reasoner and _prompts_as_written(tokenizer, at_once) else wrapped
    bos = tokenizer.bos_token_id
    writes_bos = bos is not None and tokenizer("a").input_ids[:1] == [bos]
    make = chatml_template if used == "chatml" else plain_template
    return with_pictures(make(writes_bos=writes_bos))


def _prompts_as_written(tokenizer: Any, template: str) -> bool:
    """Say whether a written reply stands right after what prompts for it, so that training meets its prompts.

    The template of a reasoning model writes an empty thought between the two.
    """
    try:
        prompt, whole = (
            tokenizer.apply_chat_template(
                [{"role": turn.role, "content": turn.text} for turn in _TURNS[:n]],
                chat_template=template,
                tokenize=False,
                add_generation_prompt=n == 1,
            )
            for n in (1, 2)
        )
    except (jinja2.TemplateError, TypeError, ValueError):
        return True  # `_check_template` says what is wrong with it
    begun = prompt.rstrip()  # a blank after the header may stand in the one and not in the other
    return bool(whole.startswith(begun) and whole[len(begun) :].lstrip().startswith(_TURNS[1].text))


def _add_tokens(language: LanguagePart, used: TemplateName) -> None:
    tokenizer, vocabulary = language.tokenizer, language.tokenizer.get_vocab()
    if tokenizer.pad_token is None:
        own = language.config.pad_token_id
        known = {token_id: token for token, token_id in vocabulary.items()}
        if own in known and own != tokenizer.eos_token_id:
            tokenizer.pad_token = known[own]
        else:
            tokenizer.add_special_tokens({"pad_token": _special(PAD_TOKEN)})
    wanted = (IMAGE_TOKEN, *(CHATML_TOKENS if used == "chatml" else ()))
    tokenizer.add_tokens(
        [_special(token) for token in wanted if token not in vocabulary], special_tokens=True
    )
    for token in wanted:
        if tokenizer.encode(token, add_special_tokens=False) != [tokenizer.get_vocab()[token]]:
            raise EngineError(
                f"The tokenizer in {language.folder} knows {token} but reads it as pieces of text. Make it a "
                "special token in tokenizer.json (added_tokens), or take it out there."
            )


def _special(token: str) -> Any:
    return _LIBRARY.AddedToken(token, special=True, normalized=False)


def _check_template(processor: Any, own: str | None, folder: Path) -> None:
    """Make sure that conversations can be rendered, and that texts are written as the own template does."""
    tokenizer = processor.tokenizer
    try:
        for images in (0, 1):
            render(processor, _TURNS[:1], images, "assistant")
            render(processor, _TURNS * 2, images)
    except RenderError as error:
        raise EngineError(
            f"The chat template of the language model in {folder} cannot carry pictures ({error}). Use "
            "`--template chatml` or `--template plain` instead of its own."
        ) from error
    if own is None:
        return
    messages = [{"role": turn.role, "content": turn.text} for turn in _TURNS]
    for opens in (False, True):
        written = [
            tokenizer.apply_chat_template(
                messages[: 1 if opens else 2],
                chat_template=each,
                tokenize=False,
                add_generation_prompt=opens,
                enable_thinking=False,
            )
            for each in (own, processor.chat_template)
        ]
        if written[0] != written[1]:
            raise EngineError(
                f"The chat template of the language model in {folder} writes texts differently once it takes "
                "pictures. Use `--template chatml` or `--template plain` instead of its own."
            )


# Processor and configuration


def _processor(language: LanguagePart, vision: VisionPart, settings: AssembleConfig, template: str) -> Any:
    """Return the assembled model's processor; what it is made of is what is saved."""
    image_processor = vision.image_processor
    if settings.kind == "llava_next":
        size = int(vision.config.image_size)
        image_processor = _LIBRARY.LlavaNextImageProcessorPil(
            size={"shortest_edge": size},
            crop_size={"height": size, "width": size},
            image_mean=list(image_processor.image_mean),
            image_std=list(image_processor.image_std),
            resample=image_processor.resample,
            image_grid_pinpoints=_grid(vision),
        )
    return getattr(transformers, _MODELS[settings.kind][2])(
        image_processor=image_processor,
        tokenizer=language.tokenizer,
        patch_size=int(vision.config.patch_size),
        vision_feature_select_strategy=vision.encoder.select,
        chat_template=template,
        image_token=IMAGE_TOKEN,
        num_additional_image_tokens=vision.encoder.extra_tokens,
    )


def _grid(vision: VisionPart) -> list[list[int]]:
    """Return LLaVA-NeXT's tile layouts, height and width in pixels, for the encoder's size.

    Source: LlavaNextConfig's default, for 336 pixels.
    """
    size = int(vision.config.image_size)
    layouts = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
    return [[rows * size, columns * size] for rows, columns in layouts]


def _tokens_of(processor: Any, vision: VisionPart, kind: str) -> int:
    """Return the tokens of a picture: of one tile, or the most over LLaVA-NeXT's layouts."""
    if kind == "llava":
        patches = int(vision.config.image_size) // int(vision.config.patch_size)
        return patches * patches
    pictures = [Image.new("RGB", (width, height)) for height, width in _grid(vision)]
    return max(preprocess_image(processor, [picture]).n_tokens[0] for picture in pictures)


def _layer(vision: VisionPart, settings: AssembleConfig) -> int:
    layer = vision.encoder.layer if settings.vision_layer is None else settings.vision_layer
    n_layers = int(vision.config.num_hidden_layers)
    if not -n_layers <= layer <= -1:
        raise EngineError(
            f"vision_layer is {layer}, and the encoder in {vision.folder} has {n_layers} layers. Count from "
            f"its end: -1 is the last, {-n_layers} the first."
        )
    return layer


def _text_config(language: LanguagePart, n_rows: int) -> Any:
    config = _nameless(copy.deepcopy(language.config))
    config.vocab_size = n_rows
    config.pad_token_id = language.tokenizer.pad_token_id
    config.architectures = [_class_name(language)]
    return config


def _nameless(config: Any) -> Any:
    """Return the configuration without the path it was read from."""
    config._name_or_path = ""
    return config


def _class_name(language: LanguagePart) -> str:
    found = _LIBRARY.AutoModelForCausalLM._model_mapping[type(language.config)]
    return str((found[0] if isinstance(found, tuple) else found).__name__)


def _skeleton(config: Any, kind: str, language: LanguagePart) -> Any:
    """Return the model to be on the meta device, without memory for its weights."""
    try:
        with torch.device("meta"):
            return getattr(transformers, _MODELS[kind][1])(config)
    except (AttributeError, ValueError) as error:
        raise EngineError(_no_place(language)) from error


def _parameters(skeleton: Any, kind: str) -> dict[str, int]:
    family = next(each for each in FAMILIES if each.model_type == kind)
    counts = {"vision": 0, "projector": 0, "language": 0}
    for name, parameter in skeleton.named_parameters():
        counts[module_group(family, name)] += parameter.numel()
    return counts


def _roundings(language: LanguagePart, vision: VisionPart, settings: AssembleConfig) -> tuple[str, ...]:
    """Say whose weights do not keep their precision."""
    stored = _DTYPES.get(settings.dtype, language.dtype)
    return tuple(
        f"the {name}'s weights are rounded from {_plain(part.dtype)} to {_plain(stored)}"
        for name, part in (("language model", language), ("vision encoder", vision))
        if stored not in (part.dtype, torch.float32)
    )


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _notes(config: Any, settings: AssembleConfig, processor: Any, *, has_template: bool) -> tuple[str, ...]:
    notes: list[str] = []
    if settings.template == "own" and not has_template:
        notes.append("the language model has no chat template, so it gets a plain one")
    if not _prompts_as_written(processor.tokenizer, processor.chat_template):
        notes.append(
            "the chat template prompts for a reply in another way than it writes one, so training never "
            "meets its prompts; with --template chatml it does"
        )
    if template_of(processor).user_closing != template_of(processor).assistant_closing:
        notes.append("its turns are closed in different ways: it can answer, but not be a synthesizer")
    if settings.projector == "linear":
        notes.append("vLLM 0.32 cannot serve a linear projector")
    kinds = set(getattr(config.text_config, "layer_types", None) or ("full_attention",))
    if kinds != {"full_attention"}:
        notes.append(f"{', '.join(sorted(kinds))} layers: the local engine refuses them, vLLM serves them")
    return tuple(notes)


# Weights


def _joined(draft: _Draft) -> Any:
    """Return the model with its weights: the parts' modules, and a fresh projector."""
    llm = load_language(draft.language, draft.dtype)
    ids = torch.tensor([draft.language.tokenizer(PROBE_TEXT).input_ids])
    before = _text_logits(llm, ids)[..., : draft.n_old_tokens]
    head = llm.get_output_embeddings()
    model = _skeleton(draft.config, draft.settings.kind, draft.language)
    if (
        type(llm.base_model) is not type(model.model.language_model)
        or type(head) is not nn.Linear
        or getattr(head, "bias", None) is not None
    ):
        raise EngineError(_no_place(draft.language))
    _grow(llm, draft.config.text_config.vocab_size, draft.n_old_tokens, draft.new_ids)
    model.model.language_model = llm.base_model
    model.lm_head = llm.get_output_embeddings()
    model.model.vision_tower = load_vision(draft.vision, draft.dtype)
    model.model.multi_modal_projector.to_empty(device="cpu")
    _initialise(model, draft)
    model.generation_config = _generation_config(draft)
    model.config.dtype = draft.dtype
    model.eval()
    after = _text_logits(model, ids)[..., : draft.n_old_tokens]
    largest = float(before.abs().max())
    if not float((after - before).abs().max()) <= _SAME * max(1.0, largest):
        raise EngineError(_no_place(draft.language))
    return model


def _no_place(language: LanguagePart) -> str:
    return (
        f"Inside a LLaVA the language model in {language.folder} ({_class_name(language)}) would not answer "
        "as it does alone: its class scales or caps its logits, its output head has a bias, or its parts "
        "have other names, for which a LLaVA has no place. Take a model of the Llama, Qwen2, Qwen3 or "
        "Mistral kind."
    )


@torch.no_grad()
def _grow(llm: Any, n_rows: int, n_old_tokens: int, new_ids: tuple[int, ...]) -> None:
    """Give new tokens the mean of the old tokens' rows, in the embedding and in a head of its own."""
    if n_rows > llm.get_input_embeddings().num_embeddings:
        with torch.random.fork_rng(devices=[]):
            llm.resize_token_embeddings(n_rows, mean_resizing=False)
    tables = {
        id(part.weight): part.weight for part in (llm.get_input_embeddings(), llm.get_output_embeddings())
    }
    for table in tables.values():
        mean = table[:n_old_tokens].mean(0, dtype=torch.float64).to(table.dtype)
        table[list(new_ids)] = mean


@torch.no_grad()
def _initialise(model: Any, draft: _Draft) -> None:
    """Fill the projector, and LLaVA-NeXT's line-break vector, from the seed alone.

    Source: the layers begin as PyTorch's own do, which is what LLaVA's builder leaves them at: uniform within
    one over the square root of the inputs. The vector is normal, with that as its deviation.
    """
    chance = torch.Generator().manual_seed(draft.settings.seed)
    projector = model.model.multi_modal_projector
    for layer in (projector.linear_1, projector.linear_2):
        for value in (layer.weight, layer.bias):
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(value, -bound, bound, generator=chance)
    if draft.settings.projector == "linear":
        nn.init.eye_(projector.linear_2.weight)
        nn.init.zeros_(projector.linear_2.bias)
    projector.to(draft.dtype)
    if draft.settings.kind == "llava_next":
        width = draft.plan.language_width
        newline = torch.randn(width, generator=chance) / math.sqrt(width)
        model.model.image_newline = nn.Parameter(newline.to(draft.dtype))


def _generation_config(draft: _Draft) -> Any:
    """Return greedy settings that stop at what ends a reply for the tokenizer, the model or the template."""
    tokenizer = draft.processor.tokenizer
    template = template_of(draft.processor)
    named: Any = None
    path = draft.language.folder / "generation_config.json"
    if path.is_file():
        named = read_json_object(path).get("eos_token_id")
    stops = [tokenizer.eos_token_id, *([named] if isinstance(named, int) else (named or ()))]
    vocabulary = tokenizer.get_vocab()
    for token in (template.assistant_closing.end_of_turn, template.end_of_text):
        if token in vocabulary:
            stops.append(vocabulary[token])
    return _LIBRARY.GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=list(dict.fromkeys(int(stop) for stop in stops)),
        pad_token_id=tokenizer.pad_token_id,
    )


@torch.no_grad()
def _text_logits(model: Any, ids: Tensor) -> Tensor:
    return model(input_ids=ids, use_cache=False).logits.float()  # type: ignore[no-any-return]


# Saving and checking


def _save_processor(draft: _Draft, folder: Path) -> None:
    processor_class = _MODELS[draft.settings.kind][2]
    processor = draft.processor
    save_tokenizer(processor.tokenizer, folder, draft.template, processor_class=processor_class)
    settings = json.loads(processor.image_processor.to_json_string())
    settings = {key: value for key, value in settings.items() if value is not None}
    write_json(
        folder / "processor_config.json",
        {
            "processor_class": processor_class,
            "image_processor": settings,
            "image_token": IMAGE_TOKEN,
            "num_additional_image_tokens": processor.num_additional_image_tokens,
            "patch_size": processor.patch_size,
            "vision_feature_select_strategy": processor.vision_feature_select_strategy,
        },
    )
    save_policy(processor.image_processor, folder)


def _save_card(draft: _Draft, folder: Path) -> None:
    plan, settings = draft.plan, draft.settings
    language, vision = (
        folder_digest(part.folder, "as stored", sha256_file)[:16] for part in (draft.language, draft.vision)
    )
    counts = ", ".join(f"{group} {n:,}" for group, n in plan.parameters.items())
    save_card(
        folder,
        title="Model card",
        about=(
            "A multimodal model assembled by `acclimate assemble` from a language model and a vision "
            "encoder, whose weights are unchanged but for what the table says of their precision. Its "
            "projector is fresh: it cannot tell what a picture shows before it is trained."
        ),
        task="image-text-to-text",
        facts={
            "Language model": f"{plan.language}, identity `{language}`",
            "Vision encoder": f"{plan.vision}, identity `{vision}`, layer {plan.vision_layer}",
            "Projector": f"{settings.projector}, fresh, seed {settings.seed}",
            "Parameters": counts,
            "Precision": "; ".join((plan.dtype, *_roundings(draft.language, draft.vision, settings))),
            "Tokens of a picture": plan.image_tokens,
            "New tokens": ", ".join(f"`{token}`" for token in plan.added_tokens) or "none",
            "Chat template": plan.template,
        },
        licence=derived_licence(
            [draft.language.licence, draft.vision.licence],
            base_model=None,
            names=["language model", "vision encoder"],
            remedy=REMEDY,
        ),
    )


@torch.no_grad()
def _probe(model: Any, processor: Any) -> dict[str, Tensor]:
    """Return what the model makes of a text and of a picture.

    Raises:
        EngineError: a picture gives another number of features than its processor writes tokens for.
    """
    ids = torch.tensor([processor.tokenizer(PROBE_TEXT).input_ids])
    picture = preprocess_image(processor, [Image.new("RGB", (90, 60), (200, 40, 60))])
    inputs = {
        name: value.to(model.dtype) if value.is_floating_point() else value
        for name, value in picture.tensors.items()
    }
    features = torch.cat(list(model.get_image_features(**inputs).pooler_output)).float()
    if len(features) != picture.n_tokens[0]:
        raise EngineError(
            f"The vision encoder gives {len(features)} features for a picture, and the processor writes "
            f"{picture.n_tokens[0]} tokens for it. The image processor's sizes must be the encoder's."
        )
    return {"text": _text_logits(model, ids), "picture": features}


def _check(folder: Path, expected: dict[str, Tensor]) -> None:
    """Open the folder as its users will, and compare."""
    found = _probe(load_model(folder), load_processor(folder))
    for name, value in expected.items():
        difference = (
            float((found[name] - value).abs().max()) if found[name].shape == value.shape else math.inf
        )
        if not difference <= _SAME * max(1.0, float(value.abs().max())):
            raise EngineError(
                f"The assembled model answers differently once it is loaded again ({name}: moved by "
                f"{difference:.3g}). Use the transformers version in constraints.txt."
            )
