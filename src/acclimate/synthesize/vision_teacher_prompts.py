"""What a vision teacher is told: our own words throughout (data).

Source: that a teacher sees the picture with a reference text it must not speak of, and describes it and plays
one of ten scenes, is PubMedVision's; who speaks to whom in each is its list. Every sentence is ours.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Scenario: TypeAlias = Literal[
    "plain",
    "two_experts",
    "senior_and_junior",
    "examiner_and_model",
    "expert_and_relative",
    "expert_and_sceptic",
    "junior_and_specialist",
    "model_helps_expert",
    "teacher_and_student",
    "model_helps_layperson",
]
Setting: TypeAlias = Literal["medical", "general"]


@dataclass(frozen=True, slots=True)
class Scene:
    """Who asks, who answers, and in what way."""

    asks: str
    answers: str


SCENES: dict[Setting, dict[Scenario, Scene]] = {
    "medical": {
        "plain": Scene(
            "somebody puts a direct question about what the image shows, in neutral words",
            "it is answered to the point, and the signs in the image that decide it are named",
        ),
        "two_experts": Scene(
            "a doctor asks a colleague of the same rank how to read the image, in the language of the trade",
            "the colleague weighs the findings and says what they would conclude and what rule out",
        ),
        "senior_and_junior": Scene(
            "a doctor with long experience tests a newcomer on the ward with a question that needs the image",
            "the newcomer answers carefully, finding first and conclusion second",
        ),
        "examiner_and_model": Scene(
            "an examiner sets an exacting question in order to find out how well a model reads such images",
            "the model gives a complete, well-ordered answer that could be marked point by point",
        ),
        "expert_and_relative": Scene(
            "a worried member of the patient's family asks the doctor what the image means for them",
            "the doctor explains it kindly in everyday words, without false comfort",
        ),
        "expert_and_sceptic": Scene(
            "a patient who trusts nobody challenges the doctor about the image, in an irritated tone",
            "the doctor stays calm and shows, from the image, why things are as they are",
        ),
        "junior_and_specialist": Scene(
            "a doctor in training does not understand something in the image and turns to a specialist",
            "the specialist clears it up and teaches how to recognise it the next time",
        ),
        "model_helps_expert": Scene(
            "a doctor asks an assistant program for a second look at a certain finding in the image",
            "the program reports what it sees, how sure it is, and what else should be considered",
        ),
        "teacher_and_student": Scene(
            "a student at a medical school asks the lecturer about what is shown",
            "the lecturer links what can be seen to the theory behind it",
        ),
        "model_helps_layperson": Scene(
            "a patient shows the image to an assistant program and asks what it is, in everyday words",
            "the program explains it simply, and advises to see a doctor where a decision depends on it",
        ),
    },
    "general": {
        "plain": Scene(
            "somebody puts a direct question about what the image shows, in neutral words",
            "it is answered to the point, and what decides it in the image is named",
        ),
        "two_experts": Scene(
            "an expert asks a colleague of the same rank how to read the image, in the language of the trade",
            "the colleague weighs what is visible and says what follows and what does not",
        ),
        "senior_and_junior": Scene(
            "somebody with long experience tests a newcomer with a question that needs the image",
            "the newcomer answers carefully, observation first and conclusion second",
        ),
        "examiner_and_model": Scene(
            "an examiner sets an exacting question in order to find out how well a model reads such images",
            "the model gives a complete, well-ordered answer that could be marked point by point",
        ),
        "expert_and_relative": Scene(
            "somebody without training, for whom much depends on it, asks an expert what the image means",
            "the expert explains it kindly in everyday words, without false comfort",
        ),
        "expert_and_sceptic": Scene(
            "a customer who trusts nobody challenges an expert about the image, in an irritated tone",
            "the expert stays calm and shows, from the image, why things are as they are",
        ),
        "junior_and_specialist": Scene(
            "a trainee does not understand something in the image and turns to a specialist",
            "the specialist clears it up and teaches how to recognise it the next time",
        ),
        "model_helps_expert": Scene(
            "an expert asks an assistant program for a second look at a certain detail of the image",
            "the program reports what it sees, how sure it is, and what else should be considered",
        ),
        "teacher_and_student": Scene(
            "a student asks the teacher about what is shown",
            "the teacher links what can be seen to the theory behind it",
        ),
        "model_helps_layperson": Scene(
            "a beginner shows the image to an assistant program and asks what it is, without technical terms",
            "the program explains it simply, and says where an expert should be asked",
        ),
    },
}

SYSTEM = (
    "You write material from which another model learns to look at images{field}. The image is in front of "
    "you. Be exact: state what can be seen in it, or what expert knowledge makes of that, and where the "
    "image leaves something open, say so the way an expert would. Write everything in English. Reply with "
    "one JSON object and with nothing before or after it."
)
NOTES = (
    "To help you be right, here is what is known about the image, between the tags. You may use it, but "
    "whoever reads your text has only the image: write as if you knew all of it from looking, and never let "
    "on that you were handed notes.\n<notes>\n{notes}\n</notes>"
)
KEYS = "The object has these keys, and each value is plain text:"
DESCRIPTION = (
    '- "description": a thorough account of the image for an expert reader: what kind of image it is, what '
    "it shows and where, what stands out, and what that points to."
)
QUESTION = (
    '- "question": what is asked in this scene: {asks}. It must be impossible to answer without looking.'
)
ANSWER = '- "answer": the reply in the same scene: {answers}.'

DESCRIBE = (
    "Describe the image thoroughly.",
    "Go through everything this image shows.",
    "What can be seen here? Be as complete as you can.",
    "Give an expert account of the image.",
    "Report on this image in detail.",
    "Explain what is shown, and what it points to.",
    "Walk me through the image.",
    "Write down all that a specialist would note about this image.",
    "What does this image tell an expert?",
    "Examine the image and put your observations into words.",
    "Please interpret the image at length.",
    "Take a close look and describe what you find.",
)
"""How a description is asked for."""
