"""Chat templates of text models, made to take pictures, and back: pure functions on Jinja text.

A multimodal client gives a turn's content as a list of parts. The wrapper written here turns every such list
into one text, in which each picture is a placeholder token and a line break, and then lets the language
model's own template run unchanged. It works inside the immutable sandbox that clients render templates in.
"""

import json
import re

IMAGE_TOKEN = "<image>"
"""Placeholder of a picture: LLaVA's, which vLLM also writes by itself."""

_WRAPPED = re.compile(
    r"\{#- acclimate: [^#]* #\}\n.*?\n\{%- set messages = acclimate\.messages %\}\n", re.DOTALL
)

_WRAPPER = """\
{#- acclimate: PURPOSE #}
{%- set acclimate = namespace(messages=[], text='') %}
{%- for message in messages %}
BODY
{%- endfor %}
SETTINGS{%- set messages = acclimate.messages %}
"""
_ANSWERS_AT_ONCE = "{%- set enable_thinking = enable_thinking | default(false) %}\n"

# Every tag strips what stands before it, and clients drop the line break after a tag, so nothing is written.
_LISTS_TO_TEXT = """\
{%- if message['content'] is iterable and message['content'] is not string
    and message['content'] is not mapping %}
{%- set acclimate.text = '' %}
{%- for part in message['content'] %}
{%- if part is string %}
{%- set acclimate.text = acclimate.text + part %}
{%- elif part['type'] == 'text' %}
{%- set acclimate.text = acclimate.text + part['text'] %}
{%- elif part['type'] in ('image', 'image_url') %}
{%- set acclimate.text = acclimate.text + IMAGE + '\\n' %}
{%- else %}
{{- raise_exception('This model reads texts and images; a part of a message is neither.') }}
{%- endif %}
{%- endfor %}
{%- set acclimate.messages = acclimate.messages + [dict(message, content=acclimate.text)] %}
{%- else %}
{%- set acclimate.messages = acclimate.messages + [message] %}
{%- endif %}"""

_TEXT_TO_LISTS = """\
{%- if message['content'] is string %}
{%- set acclimate.text = [{'type': 'text', 'text': message['content']}] %}
{%- set acclimate.messages = acclimate.messages + [dict(message, content=acclimate.text)] %}
{%- else %}
{%- set acclimate.messages = acclimate.messages + [message] %}
{%- endif %}"""

_PLAIN = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'] | upper + ': ' }}{% endif %}"
    "{{ (message['content'] or '') + ' ' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + (message['content'] or '') + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_BOS = "{{ bos_token }}"


def plain_template(*, writes_bos: bool) -> str:
    """Return a template for texts in LLaVA-1.5's layout, `USER: ... ASSISTANT: ...`, of our own writing.

    Every turn is closed with a blank, as LLaVA-1.5's published template does, so that a reply may hold
    several turns; training closes an assistant's turn with the end-of-text token (see `engines.render`).

    Args:
        writes_bos: begin with the beginning-of-text token, for models whose tokenizer adds one by itself.
    """
    return (_BOS if writes_bos else "") + _PLAIN


def chatml_template(*, writes_bos: bool) -> str:
    """Return a ChatML template for texts, of our own writing; every turn is closed with `<|im_end|>`."""
    return (_BOS if writes_bos else "") + _CHATML


def with_pictures(template: str, *, answers_at_once: bool = False) -> str:
    """Return a template for texts made to take lists of parts; what it writes for texts stays the same.

    Args:
        template: takes messages whose content is a text, in transformers' dialect of Jinja.
        answers_at_once: a template that asks for `enable_thinking` is told no where nobody says it. Templates
            of reasoning models write a finished reply with an empty thought, which only such a prompt has.
    """
    body = _LISTS_TO_TEXT.replace("IMAGE", json.dumps(IMAGE_TOKEN))
    purpose = f"a list of parts is given to the template below as one text, pictures as {IMAGE_TOKEN}"
    return _wrapped(template, purpose, body, _ANSWERS_AT_ONCE if answers_at_once else "")


def with_texts(template: str) -> str:
    """Return a template for lists of parts made to take plain texts as well."""
    purpose = "a text is given to the template below as a list of one part"
    return _wrapped(template, purpose, _TEXT_TO_LISTS, "")


def unwrapped(template: str) -> str:
    """Return the template that `with_pictures` or `with_texts` was given; another one as it is.

    One that answers at once still does: a model was trained with such prompts.
    """
    found = _WRAPPED.match(template)
    if found is None:
        return template
    return (_ANSWERS_AT_ONCE if _ANSWERS_AT_ONCE in found[0] else "") + template[found.end() :]


def _wrapped(template: str, purpose: str, body: str, settings: str) -> str:
    parts = {"PURPOSE": purpose, "BODY": body, "SETTINGS": settings}
    wrapper = _WRAPPER
    for place, text in parts.items():
        wrapper = wrapper.replace(place, text)
    return wrapper + template
