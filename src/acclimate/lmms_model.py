"""The model `acclimate` of lmms-eval: our transformers engine answers the requests of any of its tasks.

    python -m lmms_eval --model acclimate --model_args pretrained=CHECKPOINT --tasks ... --include_path ...

lmms-eval finds it by the entry point `lmms_eval.models`. Nothing else in this package imports this module,
and it can be imported where lmms-eval is not installed.

**The response cache.** lmms-eval's `--use_cache` knows a model by its name and `--model_args` alone, so a
checkpoint trained anew in the same folder would get the old one's answers. With `--use_cache` we therefore
refuse to start without `digest=sha256:...`, the checkpoint's identity, and with one that is not the
checkpoint's. The refusal says the digest; any 16 digits or more of it will do.

Source: lmms-eval 0.7.3, `api/model.py`, `api/task.py`, `evaluator.py` and `models/registry_v2.py`, as read
and run.
"""

import hashlib
import importlib
import inspect
import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acclimate.engines.open import engine_identity, open_engine
from acclimate.engines.protocol import ChoiceRequest, Engine, EngineIdentity, Message, Request, Sampling
from acclimate.engines.spec import EngineExecution, EngineSpec, spec_of
from acclimate.errors import EngineError
from acclimate.evaluate.pictures import png
from acclimate.files import BadImage, ImageStore
from acclimate.records import ImageRef, Role

try:
    from lmms_eval.api.instance import GenerationResult
    from lmms_eval.api.model import lmms as _Base  # noqa: N812 - its own name is a class's
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] != "lmms_eval":
        raise
    _Base = object
    GenerationResult = None

_LOG = logging.getLogger(__name__)
_PREFIX = "sha256:"
_LEAST_DIGITS = 16
_MAX_TOKENS = 1024
"""Where a task names no length. Source: lmms-eval's own chat model for LLaVA."""
_ROLES: Mapping[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
_MODES = ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")
"""Pillow's modes that PNG keeps."""


class Arguments(BaseModel):
    """What `--model_args` may say."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    pretrained: str
    """A checkpoint's or LoRA adapter's folder, or a model's name on the Hugging Face hub, as in a recipe."""
    digest: str = ""
    """`sha256:` and at least 16 hex digits of the checkpoint's identity."""
    dtype: Literal["bfloat16", "float32", "auto"] = "auto"
    rows: int = Field(default=64, ge=4, le=4096)
    """Rows of a batch, as in EngineExecution. lmms-eval's own batch size is not used: ours is fixed, so that
    an answer never depends on its neighbours."""
    threads: int | None = Field(default=None, ge=1)
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `mps`; a number behind `cuda:` is not looked at."""
    batch_size: int | str | None = None
    max_batch_size: int | str | None = None


class _Answering(_Base):  # type: ignore[misc]
    """What both modes of lmms-eval have in common."""

    def __init__(self, *, engine: Engine | None = None, **arguments: Any) -> None:  # noqa: ANN401
        """Open the checkpoint.

        Args:
            engine: stands in for the checkpoint's, for tests.
            arguments: the fields of `Arguments`.

        Raises:
            EngineError: an argument is unknown, the checkpoint cannot be opened or has another digest, the
                cache is on and no digest is given, or several processes evaluate at once.
        """
        super().__init__()
        self.arguments = _checked(arguments)
        folder = tempfile.mkdtemp(prefix="acclimate-lmms-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._store = ImageStore(Path(folder))
        self._refs: dict[str, ImageRef] = {}
        self.task_dict: dict[str, Any] = {}
        if engine is None:
            spec = spec_of({"model": self.arguments.pretrained, "dtype": self.arguments.dtype}, Path())
            self.digest = self._checked_digest(engine_identity(spec))
            self._engine = self._opened(spec)
        else:
            self.digest = self._checked_digest(engine.identity)
            self._engine = engine

    def _checked_digest(self, identity: EngineIdentity) -> str:
        """Return the hash of weights, adapter, processor and vision policy, chat template and dtype."""
        digest = _PREFIX + identity.digest
        _check_digest(self.arguments.digest, digest, is_cached=_cache_is_on())
        _LOG.info("the checkpoint's identity is digest=%s", digest)
        return digest

    def _opened(self, spec: EngineSpec) -> Engine:
        device = self.arguments.device.partition(":")[0]
        try:
            execution = EngineExecution.model_validate(
                {"device": device, "rows": self.arguments.rows, "threads": self.arguments.threads}
            )
        except ValidationError:
            raise EngineError(f"The device {device!r} is unknown; give auto, cpu, cuda or mps.") from None
        return open_engine(spec, self._store, execution)

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuse.

        Raises:
            EngineError: always.
        """
        raise EngineError(
            f"The model `acclimate` answers single questions, and {len(requests)} requests have several "
            "rounds. Choose other tasks, or serve the checkpoint and use lmms-eval's own model for servers."
        )

    def _answered(self, requests: Iterable[Request]) -> list[str]:
        """Return the replies' texts in the requests' order; images are read as the engine asks for them."""
        if self._world() > 1:
            raise EngineError(
                "The model `acclimate` runs in one process: start lmms-eval without `accelerate launch` or "
                "torchrun."
            )
        order: list[str] = []

        def noted() -> Iterator[Request]:
            for request in requests:
                order.append(request.id)
                yield request

        texts = {reply.id: reply.text for reply in self._engine.generate(noted())}
        return [texts[name] for name in order]

    def _world(self) -> int:
        return int(getattr(self, "_world_size", 1))

    def _doc(self, task: str, split: str, doc_id: int) -> Any:  # noqa: ANN401
        return self.task_dict[task][split][doc_id]

    def _picture(self, value: object) -> ImageRef:
        """Return a picture as the engine reads it: the same pixels give the same reference.

        Raises:
            EngineError: it is no picture.
        """
        if isinstance(value, str | Path):
            try:
                return self._store.add(Path(value).read_bytes())
            except (OSError, BadImage) as error:
                raise EngineError(f"The picture {value} of a task cannot be read: {error}.") from error
        if not isinstance(value, Image.Image):
            raise EngineError(
                f"A task shows a {type(value).__name__}; the model `acclimate` is shown pictures only. "
                "Choose tasks on pictures."
            )
        image = value if value.mode in _MODES else value.convert("RGB")
        has_notes = bool(image.info.get("transparency") or image.palette)
        facts = f"{image.mode} {image.size} {has_notes}".encode()
        key = hashlib.sha256(facts + image.tobytes()).hexdigest()
        if has_notes or key not in self._refs:
            self._refs[key] = self._store.add(png(image))
        return self._refs[key]


class AcclimateChat(_Answering):
    """lmms-eval's chat mode, the one it takes by itself: prompts come as messages."""

    is_simple = False

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Return one reply per request, in order.

        Sampling is taken from the task's generation arguments; `until` is not applied, as in lmms-eval's own
        chat models: a reply ends where the model ends its turn.

        Raises:
            EngineError: a task asks for beams, or shows anything but pictures and text.
        """

        def asked() -> Iterator[Request]:
            for place, instance in enumerate(requests):
                _, to_messages, arguments, doc_id, task, split = instance.args
                messages = messages_of(to_messages(self._doc(task, split, doc_id)), self._picture)
                yield Request(f"{task}/{split}/{doc_id}#{place}", messages, sampling_of(arguments))

        return self._answered(asked())

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Refuse: lmms-eval has no log-likelihoods in chat mode.

        Raises:
            EngineError: always.
        """
        raise EngineError(
            f"{len(requests)} requests ask for log-likelihoods. Give --force_simple, and the model "
            "`acclimate` scores them."
        )


class AcclimateSimple(_Answering):
    """lmms-eval's simple mode (`--force_simple`): pictures, then a text; and log-likelihoods of choices."""

    is_simple = True

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Return one reply per request, in order, cut off at the first of the task's `until`.

        Raises:
            EngineError: as in chat mode.
        """

        def asked() -> Iterator[Request]:
            for place, instance in enumerate(requests):
                context, arguments, to_visual, doc_id, task, split = instance.args
                message = self._message(context, to_visual, self._doc(task, split, doc_id))
                yield Request(f"{task}/{split}/{doc_id}#{place}", (message,), sampling_of(arguments))

        replies = self._answered(asked())
        return [
            cut_at(reply, instance.args[1].get("until"))
            for reply, instance in zip(replies, requests, strict=True)
        ]

    def loglikelihood(self, requests: Sequence[Any]) -> list[Any]:
        """Return for each continuation its loss and whether the greedy reply begins with it.

        The loss is the negative log-probability in nats, summed over the continuation's tokens: lmms-eval's
        `multiple_choice` takes the smallest, unlike lm-eval. The continuation stands at the very beginning of
        the assistant's turn; the space that lmms-eval puts before it is dropped.

        Raises:
            EngineError: the request is not one of `multiple_choice` on a task's own row; or the response
                cache is on, which lmms-eval 0.7.3 cannot use for log-likelihoods.
        """
        if _cache_is_on():
            raise EngineError(
                "lmms-eval 0.7.3 breaks on log-likelihoods that come from its response cache. Leave "
                "--use_cache out for tasks of multiple choice."
            )
        groups: dict[tuple[Any, ...], list[tuple[int, str]]] = {}
        visuals: dict[tuple[Any, ...], Callable[[Any], Any]] = {}
        for place, instance in enumerate(requests):
            if len(instance.args) != 6 or not isinstance(instance.args[1], str):
                raise EngineError(
                    "The model `acclimate` scores the choices of `multiple_choice` tasks; it does not do "
                    "`acc_mutual_info`, nor the output type `loglikelihood`. Choose other tasks."
                )
            context, continuation, to_visual, doc_id, task, split = instance.args
            key = (task, split, doc_id, context)
            groups.setdefault(key, []).append((place, continuation.strip()))
            visuals[key] = to_visual
        choices: list[ChoiceRequest] = []
        greedy: list[Request] = []
        for number, (key, members) in enumerate(groups.items()):
            task, split, doc_id, context = key
            message = self._message(context, visuals[key], self._doc(task, split, doc_id))
            texts = tuple(text for _, text in members)
            # No token is shorter than one byte.
            longest = max(len(text.encode()) for text in texts)
            choices.append(ChoiceRequest(f"{number}", (message,), texts))
            greedy.append(Request(f"{number}", (message,), Sampling(max_tokens=max(1, longest))))
        scored = {reply.id: reply.log_probabilities for reply in self._engine.choose(choices)}
        said = self._answered(greedy)
        results: dict[int, tuple[float, bool]] = {}
        for number, members in enumerate(groups.values()):
            for (place, text), value in zip(members, scored[f"{number}"], strict=True):
                results[place] = (-value, said[number].startswith(text))
        ordered = [results[place] for place in range(len(requests))]
        # lmms-eval 0.7.3 makes a text of a bare pair of numbers (`unwrap_generation_output`), not of this.
        return ordered if GenerationResult is None else [GenerationResult(text=pair) for pair in ordered]

    def _message(self, context: str, to_visual: Callable[[Any], Any], doc: Any) -> Message:  # noqa: ANN401
        images = to_visual(doc) if callable(to_visual) else None
        return Message("user", context, tuple(self._picture(image) for image in images or ()))


def manifests() -> Any:  # noqa: ANN401
    """Return what lmms-eval registers; called by lmms-eval.

    Raises:
        EngineError: lmms-eval is not installed, or older than its registry of manifests.
    """
    try:
        # Not at the top: importing lmms-eval's models calls this function.
        registry = importlib.import_module("lmms_eval.models.registry_v2")
    except ModuleNotFoundError as error:
        raise EngineError(
            "lmms-eval is not installed here, or has no registry of models yet; install lmms-eval 0.7.3."
        ) from error
    return registry.ModelManifest(
        model_id="acclimate",
        chat_class_path=f"{__name__}.{AcclimateChat.__name__}",
        simple_class_path=f"{__name__}.{AcclimateSimple.__name__}",
    )


def messages_of(
    messages: Sequence[Mapping[str, Any]], picture: Callable[[object], ImageRef]
) -> tuple[Message, ...]:
    """Return lmms-eval's messages in our form: pictures before text, several texts joined by line ends.

    A picture that stood behind text is moved, which is logged: our models are trained with pictures first.

    Args:
        picture: turns what a task shows into a reference.

    Raises:
        EngineError: there is a video, a sound, or an unknown role.
    """
    found = []
    for message in messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
        others = sorted({str(part["type"]) for part in parts} - {"text", "image"})
        if others or message["role"] not in _ROLES:
            raise EngineError(
                f"A task shows {', '.join(others) or 'the role ' + str(message['role'])}; the model "
                "`acclimate` reads pictures and text in turns of system, user and assistant. Choose others."
            )
        kinds = [part["type"] for part in parts]
        if kinds != sorted(kinds):  # "image" sorts before "text"
            _LOG.warning("a task shows a picture behind text; it is shown before the text instead")
        images = tuple(picture(part["url"]) for part in parts if part["type"] == "image")
        text = "\n".join(str(part["text"]) for part in parts if part["type"] == "text")
        found.append(Message(_ROLES[message["role"]], text, images))
    return tuple(found)


def sampling_of(arguments: Mapping[str, Any]) -> Sampling:
    """Return a task's generation arguments as ours; greedy unless it samples at a temperature above 0.

    Raises:
        EngineError: it asks for beams or several replies, or for no token.
    """
    several = max(int(arguments.get(name) or 1) for name in ("num_beams", "n", "num_return_sequences"))
    most = arguments.get("max_new_tokens", arguments.get("max_gen_toks"))
    if several > 1 or (most is not None and int(most) < 1):
        raise EngineError(
            f"A task asks for {dict(arguments)}. The model `acclimate` gives one reply of at least one "
            "token, without beams; set these with --gen_kwargs."
        )
    temperature = arguments.get("temperature")
    wanted = 1.0 if temperature is None and arguments.get("do_sample") else float(temperature or 0)
    is_greedy = arguments.get("do_sample") is False
    top_p = arguments.get("top_p")
    return Sampling(
        max_tokens=_MAX_TOKENS if most is None else int(most),
        temperature=0.0 if is_greedy else wanted,
        top_p=1.0 if top_p is None else float(top_p),
    )


def cut_at(text: str, until: str | Sequence[str] | None) -> str:
    """Return a text up to the first place where one of `until` stands."""
    ends = [until] if isinstance(until, str) else until or ()
    places = [text.find(end) for end in ends if end]
    return text[: min((place for place in places if place >= 0), default=len(text))]


def _checked(arguments: Mapping[str, Any]) -> Arguments:
    try:
        return Arguments.model_validate(arguments)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise EngineError(
            f"--model_args of the model `acclimate` are not usable: {faults}. Known are "
            f"{', '.join(Arguments.model_fields)}."
        ) from None


def _check_digest(given: str, real: str, *, is_cached: bool) -> None:
    if not given:
        if is_cached:
            raise EngineError(
                "lmms-eval's response cache (--use_cache) knows a model by its --model_args alone, so a "
                "checkpoint trained anew would get the old one's answers. Add the checkpoint's digest to "
                f"--model_args: digest={real}"
            )
        return
    if not given.startswith(_PREFIX) or len(given) < len(_PREFIX) + _LEAST_DIGITS:
        raise EngineError(
            f"digest={given} in --model_args is too short, or no digest; this checkpoint's is {real}."
        )
    if not real.startswith(given):
        raise EngineError(
            f"The checkpoint is not the one that --model_args mean: its digest is {real}, and not {given}. "
            "It was trained or saved anew; correct `digest`."
        )


def _cache_is_on() -> bool:
    """Return whether lmms-eval was asked for its response cache.

    It tells a model's class nothing of that, so the call of `simple_evaluate` that makes the model is asked.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "simple_evaluate" and frame.f_locals.get("use_cache"):
            return True
        frame = frame.f_back
    return False
