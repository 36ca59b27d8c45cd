"""Writing a checkpoint folder whole or not at all, with nothing in it that depends on where or when.

Transformers leaves traces of how a tokenizer was loaded, and names a CLIP's weights in a way that vLLM does
not know; both are put right here, so that the same parts give the same bytes and other tools open the folder.
"""
# ruff: noqa: ANN401

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.utils import logging

from acclimate.errors import ArtifactError
from acclimate.files import read_json, write_json, write_text
from acclimate.licences import Derived, head_of

REMEDY = "Name one at the top of its README.md (`license:`), or use another."
"""What to do about a part whose card names no licence that a result may follow from."""
_TRACES = ("is_local", "local_files_only", "name_or_path", "chat_template", "processor_class", "auto_map")
_TOWER, _PUBLISHED_TOWER = "vision_tower.", "vision_tower.vision_model."


@contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars and reports of transformers' loading and saving off the screen."""
    library: Any = logging
    was_on, level = library.is_progress_bar_enabled(), library.get_verbosity()
    library.disable_progress_bar()
    library.set_verbosity_error()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if was_on:
            library.enable_progress_bar()


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a folder to write in that becomes `out` when all went well, and is removed when not.

    Raises:
        ArtifactError: `out` is there and not empty.
    """
    require_free(out)
    out = out.absolute()
    part = out.with_name(f"{out.name}.unfinished")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        _share(part)
        if out.is_dir():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def require_free(out: Path) -> None:
    """Check that nothing would be overwritten.

    Raises:
        ArtifactError: `out` is a file, or a folder with something in it.
    """
    if out.is_file():
        raise ArtifactError(f"{out} is a file; name a new folder for the model.")
    if out.is_dir() and any(out.iterdir()):
        raise ArtifactError(
            f"The folder {out} is not empty, and a model is never written over another. Name a new folder, "
            "or remove this one."
        )


def save_weights(model: Any, folder: Path, *, most_per_file: str = "5GB") -> None:
    """Write weights, `config.json` and `generation_config.json`; vision weights under their published names.

    Transformers 5 writes a LLaVA's CLIP or SigLIP as `vision_tower.X`; vLLM knows only the published
    `vision_tower.vision_model.X`. Transformers reads both, and writes again what it has read.
    """
    with quiet():
        model.save_pretrained(folder, max_shard_size=most_per_file)
    for file in sorted(folder.glob("*.safetensors")):
        _publish_names(file)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        content = read_json(index)
        content["weight_map"] = {_published(name): file for name, file in content["weight_map"].items()}
        write_json(index, content)


def save_tokenizer(tokenizer: Any, folder: Path, template: str, **settings: str) -> None:
    """Write a tokenizer's files, without traces of where it came from, and the chat template beside them.

    Args:
        settings: added to tokenizer_config.json.
    """
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    kept = {key: value for key, value in read_json(path).items() if key not in _TRACES}
    write_json(path, kept | settings)
    shutil.rmtree(folder / "additional_chat_templates", ignore_errors=True)
    write_text(folder / "chat_template.jinja", template)


def save_card(
    folder: Path,
    *,
    title: str,
    about: str,
    task: str,
    facts: Mapping[str, object],
    licence: Derived,
) -> None:
    """Write README.md: what the model was made from, and the licence that follows from its parts' cards.

    Args:
        task: the `pipeline_tag`.
        licence: derived from its parts'; one that was refused stands in the text alone.
    """
    head = ["---", "library_name: transformers", f"pipeline_tag: {task}"]
    if licence.is_refused:
        text = f"not derived. {licence.reason}"
    else:
        head += [f"{name}: {json.dumps(value)}" for name, value in head_of(licence).items()]
        text = " ".join(filter(None, (f"{licence.printed}.", licence.restriction)))
    lines = [*head, "---", "", f"# {title}", "", about, "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    write_text(folder / "README.md", "\n".join([*lines, "", f"Licence: {text}", ""]))


def _publish_names(file: Path) -> None:
    """Write a safetensors file's header anew; the weights behind it are copied as they are.

    Source: the format's definition: the header's length in 8 bytes, the header in JSON, and the weights,
    whose places count from the header's end.
    """
    part = file.with_suffix(".renamed")
    with file.open("rb") as old:
        header = json.loads(old.read(int.from_bytes(old.read(8), "little")))
        renamed = {_published(name): value for name, value in header.items()}
        if renamed.keys() == header.keys():
            return
        text = json.dumps(renamed, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with part.open("wb") as new:
            new.write(len(text).to_bytes(8, "little") + text)
            shutil.copyfileobj(old, new, 2**24)
    part.replace(file)


def _published(name: str) -> str:
    if name.startswith(_TOWER) and not name.startswith(_PUBLISHED_TOWER):
        return _PUBLISHED_TOWER + name.removeprefix(_TOWER)
    return name


def _share(folder: Path) -> None:
    """Give weights the permissions other files get; safetensors makes them the owner's alone."""
    mode = (folder / "config.json").stat().st_mode
    for file in folder.glob("*.safetensors"):
        file.chmod(mode)
