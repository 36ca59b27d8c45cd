"""How to use an adapted checkpoint with plain transformers, as code for the report."""

from acclimate.report.inputs import Snippet

_ASK = """
image = Image.open("picture.png").convert("RGB")
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is shown?"}]}]
prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
inputs = processor(text=[prompt], images=[image], return_tensors="pt")
with torch.inference_mode():
    reply = model.generate(**inputs, max_new_tokens=64, do_sample=False)
print(processor.batch_decode(reply[:, inputs["input_ids"].shape[1]:], skip_special_tokens=True)[0])
"""

_WITH_AUTO = """import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

checkpoint = {checkpoint}
processor = AutoProcessor.from_pretrained(checkpoint)
model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype="auto")
"""

_WITHOUT_TORCHVISION = """import json
from pathlib import Path

import torch
import transformers
from PIL import Image

checkpoint = {checkpoint}
family = json.loads(Path(checkpoint, "processor_config.json").read_text())["processor_class"]
processor_class = getattr(transformers, family)
# Leaves out the video processor, the only part that needs torchvision.
processor_class.get_attributes = classmethod(lambda cls: ["image_processor", "tokenizer"])
processor = processor_class.from_pretrained(checkpoint)
model = transformers.AutoModelForImageTextToText.from_pretrained(checkpoint, dtype="auto")
"""


def transformers_snippets(checkpoint: str) -> tuple[Snippet, ...]:
    """Return code that asks the checkpoint one question, with and without torchvision installed.

    Source:
        Measured with transformers 5.19 to 5.23: without torchvision `AutoProcessor` refuses the Qwen
        families, whose processors list a video processor; naming the other two attributes loads the
        same processor.
    """
    quoted = repr(checkpoint)
    return (
        Snippet("With torchvision installed", _WITH_AUTO.replace("{checkpoint}", quoted) + _ASK),
        Snippet("Without torchvision", _WITHOUT_TORCHVISION.replace("{checkpoint}", quoted) + _ASK),
    )
