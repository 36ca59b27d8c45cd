"""What the text teacher is told: system texts, worked examples, short forms and detail questions (data).

Source: what each kind of prompt must do is LLaVA's (conversation, detail, reasoning) and LLaVA-Med's
(figure); every sentence, scene, place and finding here is ours and invented for this project.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from acclimate.records import Box

Kind: TypeAlias = Literal["conversation", "detail", "reasoning", "figure"]


@dataclass(frozen=True, slots=True)
class Notes:
    """What a teacher may know about a picture."""

    captions: tuple[str, ...]
    boxes: tuple[Box, ...] = ()
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """One worked example: what is known of a picture, and the reply that is wanted."""

    notes: Notes
    reply: str


_EYES = (
    "You write lessons for a model that learns to talk about pictures. You cannot look at the picture "
    "yourself: all you get are captions that different people wrote for one and the same picture. Write as "
    "somebody who stands in front of the picture and sees it. Never say or hint that you know it from "
    "captions, descriptions, lists, labels, bounding boxes, coordinates or any other text, and never say "
    "that you cannot see it. Where two captions disagree, say only what they have in common."
)

_PLACES = (
    "Bounding boxes may follow the captions: one object per line, with its left, top, right and bottom edge. "
    "The edges are fractions of the picture's width and height; the top left corner is 0, 0. Read from them "
    "how many things there are, how large they are, where they are and what is beside what, and put all "
    "that into everyday words; never write such numbers down."
)

_FORM = (
    "Write nothing but the lines asked for, each question and each answer with its mark, in this form:\n"
    "Question: ...\n"
    "Answer: ..."
)

_CONVERSATION = (
    "Write a talk about the picture in three to six rounds, a curious person asking and a patient one "
    "answering. Let every round look at something else: what things there are, how many, what colour they "
    "have, what somebody is doing, where a thing is, how two things stand to each other. Ask only what has "
    "one sure answer: the thing is certainly there, or it is certainly missing; leave out whatever is in "
    "doubt. Let the last round or two ask for something that has to be explained, such as a purpose, a "
    "reason or background knowledge, and answer it at more length, with examples. Later questions may build "
    "on earlier answers."
)

_DETAIL = (
    "Write one thorough description of the picture in flowing text, without a heading, a list or a question. "
    "Start with what matters most, and go on to the surroundings. Say how many things there are, where they "
    "are and how they stand to each other, as far as you know it for sure, and add nothing that you do not "
    "know."
)

_REASONING = (
    "Write one question about the picture that nobody can answer by naming what is in it, but only by "
    "thinking further: why something is so, what may follow, what somebody should watch out for, what one "
    "can learn from it. Do not give away in the question what can be seen, so that one has to look first. "
    "Answer it in connected sentences that lead from what can be seen, by way of what one knows about the "
    "world, to the conclusion."
)

_FIGURE = (
    "You write lessons for an assistant that talks with people about medical images. You cannot look at the "
    "image yourself: all you get is the caption of a figure in a publication and, for some figures, "
    "sentences of the publication that refer to it. Write a talk of three rounds or more between a person "
    "who asks and an assistant who answers, as if both had the image in front of them. Ask about what the "
    "image shows: what kind of image it is, which part of the body or which tissue, where a finding lies, "
    "what shape and what other features it has, and what that may point to. Use what you read only to know "
    "what is in the image. Leave out what no one can see in it: names, dates, ages, numbers, measurements, "
    "doses and abbreviations. Never use the words caption, context, description, mentioned or article. "
    "Answer with care: say what a finding suggests, give no diagnosis and no advice on treatment, and send "
    "whoever asks for these to a doctor."
)

SYSTEM: Mapping[Kind, str] = {
    "conversation": f"{_EYES}\n\n{_PLACES}\n\n{_CONVERSATION}\n\n{_FORM}",
    "detail": f"{_EYES}\n\n{_PLACES}\n\n{_DETAIL}",
    "reasoning": f"{_EYES}\n\n{_PLACES}\n\n{_REASONING}\n\n{_FORM}",
    "figure": f"{_FIGURE}\n\n{_FORM}",
}

SHORT: Mapping[Kind, str] = {
    "conversation": (
        "Ask about the picture and answer, as somebody who sees it. Write each round as two lines, "
        "`Question: ...` and `Answer: ...`."
    ),
    "detail": "Describe the picture in detail, as somebody who sees it.",
    "reasoning": (
        "Ask one question about the picture that needs thought and answer it, as somebody who sees it. "
        "Write two lines, `Question: ...` and `Answer: ...`."
    ),
    "figure": (
        "Ask about the medical image and answer, as somebody who sees it. Write each round as two lines, "
        "`Question: ...` and `Answer: ...`."
    ),
}
"""Stands before the notes where there is neither a system text nor an example."""

DETAIL_QUESTIONS = (
    "Tell me everything you can make out in this picture.",
    "What is there to see here? Be as thorough as you can.",
    "Please walk me through the whole picture, from what stands out to what is easily missed.",
    "Give a full account of what is shown.",
    "Suppose I could not see this picture. How would you put it into words for me?",
    "Write down in detail what this image contains and how it is arranged.",
    "What are the main things here, and what is around them?",
    "Look closely: what does the picture show, and where?",
    "Paint this picture with words, leaving out nothing of importance.",
    "Could you go over this image and report all that you notice?",
    "Set out what can be seen, with the numbers and places of things where they are clear.",
    "What would a careful observer write about this scene?",
    "Describe this in several sentences, the surroundings included.",
    "Explain what is going on in the picture and what it looks like there.",
    "Take your time with this image and tell what you find in it.",
    "I need a long and exact description of this picture.",
)
"""The teacher of `detail` writes the answer only; its question is drawn from these."""


def _scene(captions: tuple[str, ...], *boxes: tuple[str, float, float, float, float]) -> Notes:
    return Notes(captions, tuple(Box(*box) for box in boxes))


_GARAGE = _scene(
    (
        "A woman in an apron repairs a bicycle that is turned upside down in a garage.",
        "A dog is asleep on a blanket while its owner works on a bike.",
        "Someone has both hands on the back wheel of a red bicycle, with tools on the floor around it.",
        "Inside a garage: a workbench, a sleeping brown dog and a bicycle standing on its saddle.",
    ),
    ("person", 0.312, 0.141, 0.598, 0.872),
    ("bicycle", 0.455, 0.338, 0.861, 0.902),
    ("dog", 0.052, 0.671, 0.287, 0.884),
    ("scissors", 0.702, 0.915, 0.771, 0.963),
)

_STALL = _scene(
    (
        "People buy fruit at a stall under a striped awning.",
        "Two customers pick oranges at a market in the street.",
        "A seller in a green cap weighs fruit for a waiting woman.",
        "Crates of oranges, bananas and apples at an evening market, with the lamps lit.",
        "A man and a woman at a fruit stall, the seller behind it.",
    ),
    ("person", 0.071, 0.252, 0.264, 0.946),
    ("person", 0.291, 0.287, 0.452, 0.921),
    ("person", 0.603, 0.196, 0.767, 0.612),
    ("orange", 0.318, 0.634, 0.552, 0.797),
    ("banana", 0.561, 0.622, 0.741, 0.779),
    ("apple", 0.752, 0.641, 0.934, 0.812),
    ("handbag", 0.211, 0.548, 0.296, 0.701),
)

_BAKING = _scene(
    (
        "An old man and a little girl roll out dough on a kitchen table.",
        "A grandfather bakes with a child who stands on a chair.",
        "A girl with flour on her cheeks holds a rolling pin.",
        "Two people make cookies; a bowl and an open bag of flour stand on the table.",
    ),
    ("person", 0.487, 0.082, 0.823, 0.763),
    ("person", 0.213, 0.254, 0.448, 0.801),
    ("chair", 0.198, 0.702, 0.421, 0.991),
    ("bowl", 0.051, 0.571, 0.182, 0.683),
    ("dining table", 0.002, 0.604, 0.996, 0.987),
)

_CHEST = Notes(
    (
        "Chest radiograph of a 54-year-old man on admission (PA view). There is a large pneumothorax on the "
        "left with collapse of the lung (arrows) and no mediastinal shift.",
    ),
    mentions=(
        "The radiograph on admission (Fig. 1) showed a complete left-sided pneumothorax, and a 20F drain was "
        "placed at once.",
    ),
)

_SKIN = Notes(
    (
        "Photomicrograph of the skin biopsy (H&E, original magnification x200) with several noncaseating "
        "granulomas in the dermis, made of epithelioid cells and multinucleated giant cells.",
    ),
    mentions=(
        "Histology (Fig. 3) was consistent with sarcoidosis.",
        "Stains for acid-fast bacilli and fungi stayed negative.",
    ),
)

_ABDOMEN = Notes(
    (
        "Axial contrast-enhanced CT of the abdomen, portal venous phase. The appendix is dilated to 13 mm "
        "with a thick wall (arrow); fat stranding and a calcified appendicolith.",
    ),
    mentions=("As can be seen in Figure 2, there was neither free air nor an abscess.",),
)

_SPINE = Notes(
    (
        "Sagittal T2-weighted MRI of the lumbar spine. At L4/L5 a herniated disc presses on the thecal sac; "
        "the disc has lost signal and height.",
    ),
)

EXAMPLES: Mapping[Kind, tuple[Example, ...]] = {
    "conversation": (
        Example(
            _GARAGE,
            "Question: What is the woman busy with?\n"
            "Answer: She is repairing a bicycle and has both hands on its back wheel.\n\n"
            "Question: What colour is the bicycle?\n"
            "Answer: It is red.\n\n"
            "Question: How has she placed it for the work?\n"
            "Answer: She has turned it upside down, so that it stands on its saddle.\n\n"
            "Question: Who keeps her company?\n"
            "Answer: A brown dog, which is asleep on a blanket.\n\n"
            "Question: Why do people turn a bicycle over for such a repair?\n"
            "Answer: On its saddle and handlebar a bicycle stands firmly, and both wheels turn freely in "
            "the air. That makes it easy to spin the back wheel, to watch how the chain runs over it, and "
            "to take the wheel out when the tube has to be changed. It also brings the parts up to the "
            "height of the hands.",
        ),
        Example(
            _STALL,
            "Question: What is sold here?\n"
            "Answer: Fruit: there are crates of oranges, bananas and apples.\n\n"
            "Question: What does the seller wear on the head?\n"
            "Answer: A green cap.\n\n"
            "Question: Is this indoors or outdoors?\n"
            "Answer: Outdoors. It is a market in the street, and the stall has a striped awning.\n\n"
            "Question: What time of day does it seem to be?\n"
            "Answer: It seems to be evening, because the lamps are lit.\n\n"
            "Question: What might the customers look for when they pick oranges?\n"
            "Answer: A good orange feels firm and rather heavy for its size, since it is full of juice. "
            "People also look for a fine, shiny peel without soft or dark spots, and some smell at the "
            "fruit. As the seller weighs what they choose, they pay by weight and can take as few or as "
            "many as they like.",
        ),
        Example(
            _BAKING,
            "Question: Who is in the kitchen?\n"
            "Answer: An old man and a little girl.\n\n"
            "Question: What are the two doing together?\n"
            "Answer: They are rolling out dough on the table to make cookies.\n\n"
            "Question: How does the girl reach the table?\n"
            "Answer: She is standing on a chair.\n\n"
            "Question: What shows that she has been at it for a while?\n"
            "Answer: She has flour on her cheeks.\n\n"
            "Question: What can a child learn from an afternoon like this one?\n"
            "Answer: A good deal. Measuring out flour is a first lesson in numbers, and rolling the dough "
            "evenly trains the hands. Waiting for the oven teaches patience. And doing it with an older "
            "relative hands on recipes and stories that are written down nowhere.",
        ),
    ),
    "detail": (
        Example(
            _GARAGE,
            "A woman in an apron is repairing a red bicycle in a garage. She takes up the middle of the "
            "picture and reaches almost from the top to the bottom of it. The bicycle, to the right of her "
            "and partly in front of her, has been turned upside down and stands on its saddle, and she has "
            "both hands on its back wheel. Tools are spread on the floor around it; a pair of scissors lies "
            "at the very bottom, under the bicycle. On the left, a brown dog sleeps on a blanket and takes "
            "no notice of the work. There is also a workbench in the room.",
        ),
        Example(
            _STALL,
            "It is evening at a street market, and the lamps are lit. People are buying fruit at a stall "
            "under a striped awning. Two customers stand on the left, one close to the edge and the other a "
            "little nearer to the middle; a handbag hangs between them. The seller, who wears a green cap "
            "and weighs fruit, is behind the stall on the right and can be seen only down to the waist. The "
            "fruit lies in front in three heaps side by side: oranges before the customers, bananas in the "
            "middle and apples on the right.",
        ),
        Example(
            _BAKING,
            "An old man and a little girl are making cookies at a kitchen table, which fills the lower part "
            "of the picture from one side to the other. The man, by far the larger of the two, is on the "
            "right of the middle. The girl is to the left of him. She stands on a chair to be tall enough, "
            "holds a rolling pin and has flour on her cheeks. Dough is being rolled out on the table. A "
            "bowl stands at the far left, and there is an open bag of flour as well.",
        ),
    ),
    "reasoning": (
        Example(
            _GARAGE,
            "Question: What should be done here before anybody else walks in?\n"
            "Answer: The floor should be cleared. The tools that the woman uses for the bicycle are spread "
            "on the ground around it, and somebody who comes in without looking down could step on one and "
            "fall or be cut. The dog is a second reason: it is asleep now, but when a visitor wakes it, it "
            "will jump up and run across that same floor. Laying the tools on the workbench, which is in "
            "the room anyway, would protect them both and would also make the next tool easier to find.",
        ),
        Example(
            _STALL,
            "Question: Why might business go well at this hour?\n"
            "Answer: The lamps are lit, so the day is ending and many people are on their way home from "
            "work. They pass along the street and still need something for supper or for the next morning, "
            "and fruit can be taken along without planning and without cooking. Sellers of fresh goods also "
            "tend to lower their prices late in the day, because ripe fruit does not keep for long. Both "
            "together bring customers to a stall like this one in the evening.",
        ),
        Example(
            _BAKING,
            "Question: What should the adult keep an eye on as the work goes on?\n"
            "Answer: Most of all on how the child stands. She needs the chair to be tall enough, but while "
            "she leans forward and pushes the rolling pin, her weight moves to the edge of the seat, and "
            "the chair can tip or slide, all the more so when there is flour on the floor. He does well to "
            "stay within arm's reach. Later, the oven and the hot tray will be his to handle, and she can "
            "help again once the cookies have cooled.",
        ),
    ),
    "figure": (
        Example(
            _CHEST,
            "Question: What kind of image is this?\n"
            "Answer: It is an X-ray of the chest, taken from behind to the front.\n\n"
            "Question: Do both lungs look the same?\n"
            "Answer: No. On the left side the lung has collapsed, and there is a large amount of air "
            "between the lung and the chest wall, marked by arrows. This is called a pneumothorax.\n\n"
            "Question: Is the middle of the chest pushed to one side?\n"
            "Answer: No, the structures in the middle seem to be in their usual place. How urgent such a "
            "finding is has to be judged by a doctor who knows the patient.",
        ),
        Example(
            _SKIN,
            "Question: What are we looking at?\n"
            "Answer: This is a thin section of skin under a microscope, stained in pink and purple.\n\n"
            "Question: What stands out in the deeper layer of the skin?\n"
            "Answer: There are several granulomas in the dermis. These are rounded clusters of immune "
            "cells.\n\n"
            "Question: Which cells are they made of?\n"
            "Answer: Mostly of epithelioid cells, together with giant cells that have many nuclei. Their "
            "centres do not look dead or crumbly.\n\n"
            "Question: What can such clusters point to?\n"
            "Answer: Granulomas without dead tissue in the centre are seen in sarcoidosis, for example, but "
            "some infections and foreign material can look alike. A pathologist has to weigh the image "
            "together with other tests.",
        ),
        Example(
            _ABDOMEN,
            "Question: How was this image made, and which part of the body does it show?\n"
            "Answer: It is a cross-section of the abdomen made by computed tomography, with contrast agent "
            "in the vessels.\n\n"
            "Question: What does the arrow point at?\n"
            "Answer: At the appendix, which is wider than usual and has a thick wall.\n\n"
            "Question: Is anything else unusual near it?\n"
            "Answer: Yes. The fat around it looks hazy, and there is a small calcified stone. Both often go "
            "with an inflamed appendix; whether that is so here is for a doctor to decide.\n\n"
            "Question: Does any air seem to have leaked out of the bowel?\n"
            "Answer: No free air is visible, and there is no abscess either.",
        ),
        Example(
            _SPINE,
            "Question: Which part of the body is this, and from which side do we see it?\n"
            "Answer: It is the lower part of the spine in a magnetic resonance image, cut lengthwise, so "
            "that we see it from the side.\n\n"
            "Question: Do all discs between the vertebrae look alike?\n"
            "Answer: No. One disc low in the spine is darker and flatter than a healthy one would be.\n\n"
            "Question: What else is special about that disc?\n"
            "Answer: It bulges backwards and presses on the sac that holds the nerves. This can go with "
            "pain that runs into the leg, but not everybody with such an image has complaints, so a doctor "
            "should compare it with what the person feels.",
        ),
    ),
}
"""The first ones are used where fewer are asked for. Their replies pass the rules that replies are read
by."""
