"""The kinds of visual instruction tasks and of pictures that quality is measured by (data).

Source: the names are AdaMLLM's: the twenty task types of its appendix D, of which its figure 5 lists
seventeen, and the twenty image domains of that figure. Every description is our own.
"""

from collections.abc import Mapping

TASK_TYPES: Mapping[str, str] = {
    "Domain Classification": "say what broad field the picture belongs to: which group of animals, which "
    "kind of terrain, which branch of medicine",
    "Object Recognition": "name a thing exactly: the species, the make, the model, the dish",
    "Pose and Activity Recognition": "say how somebody stands or moves, or what somebody is doing",
    "Logo Detection": "find or name the sign of a brand",
    "Face and Expression Classification": "judge a face: its age, its features, the expression on it",
    "Scene Classification": "name the sort of place: a street, a kitchen, a shore",
    "Sentiment Analysis": "name the mood or feeling that the picture gives",
    "Caption Generation": "write a description of the picture, in general or for some purpose",
    "Text Detection and OCR": "find or read writing, forms and tables in the picture",
    "Image-Text Matching": "judge whether a statement, a text and the picture fit together",
    "Anomaly Detection": "find what is wrong, broken, missing or out of place",
    "Style Classification": "name the artistic style, the technique or the quality of the picture",
    "Attribute and Context Recognition": "name a property or a circumstance: colour, number, presence, time "
    "of day, where something is",
    "Task-Oriented Image Recognition": "recognise something within a special scheme: a stained cell, a crop "
    "plant, a hurried sketch",
    "Step-by-Step Guidance": "name, order or explain the steps of a procedure",
    "Data Representation and Visualization": "read or explain a chart, a diagram, a plot or a measured value",
    "Utility and Affordance Recognition": "say what something is for or what can be done with it",
    "Visual Grounding": "say which part of the picture a phrase means, or where that part lies",
    "Segmentation": "divide the picture into its parts or regions and list them",
    "Visual Storytelling": "tell a story that the picture or a row of pictures suggests",
}
"""All twenty, by name."""

_ONLY_IN_THE_APPENDIX = ("Visual Grounding", "Segmentation", "Visual Storytelling")
FIGURE_TYPES = tuple(name for name in TASK_TYPES if name not in _ONLY_IN_THE_APPENDIX)
"""The seventeen that the paper's figure 5 lists; its table 8 divides by their number."""

IMAGE_DOMAINS: Mapping[str, str] = {
    "Objects/General Items": "things of everyday use",
    "Animal": "living animals of any sort",
    "Celebrity/Human": "people, known or unknown",
    "Nature": "plants, weather, water, sky and land without people",
    "Art & Culture": "works of art, customs, festivals",
    "Vehicles": "cars, bicycles, ships, aircraft as such",
    "Abstract/Diagrammatic": "charts, schemes, patterns, maps",
    "Landmark/Environment": "well-known places and surroundings",
    "Food": "dishes, ingredients, drinks",
    "Sketch/Drawing": "drawings, cartoons, line art",
    "Emotion/Sentiment": "pictures that are about a feeling",
    "Textual Content": "writing: signs, pages, receipts, forms",
    "Educational/Instructional": "teaching material, steps of a procedure",
    "Software/Digital Content": "screens, programs, games, web pages",
    "Historical": "past times and old photographs",
    "Transportation": "traffic, roads, stations, harbours in use",
    "Architecture": "buildings and rooms",
    "Medical": "scans, stains, instruments, patients",
    "Sports": "games, matches, exercise",
    "Fashion/Clothing": "clothes, jewellery, make-up",
}
"""All twenty, by name."""
