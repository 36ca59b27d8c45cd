"""The judge's long prompt: the rule in words and six decided cases, for models that can use them (data).

Source: that the judge is shown six cases, labelled No, Open, Yes, Yes, No, Open in this order, is AdaMLLM's
filter. Every sentence here is our own.
"""

LONG_FORM = """\
Somebody asked a question about a picture and got two answers. The informative answer explains; the precise \
answer is short. Say whether the two agree. Use one word:
- Yes: whoever reads only the informative answer would give this precise answer.
- No: the informative answer says something else, or does not lead to this precise answer.
- Open: the question has no single right answer. It asks for a description, a story, an opinion or general \
knowledge, or it can be read in several ways.

These cases have been decided:

Question: Which hand holds the umbrella?
Informative: The woman walks towards the camera with a shopping bag over her left arm. The umbrella's handle \
is in her right hand, tilted against the wind.
Precise: Left hand
Consistent? No

Question: Tell me something about this harbour.
Informative: Fishing boats lie at a wooden pier while gulls circle over the stacked crates. The low sun and \
the empty quay suggest that the day's catch has been landed.
Precise: Boats at a pier
Consistent? Open

Question: Is any of the traffic lights red?
Informative: Two traffic lights hang over the crossing. The one above the bus lane is green, and the other, \
which faces the cars, shows red, so the cars have to wait.
Precise: Yes
Consistent? Yes

Question: How many candles stand on the cake?
Options: (A) four (B) five (C) six
Informative: The candles are set in two rows. There are three in the back row and two in the front row, each \
with a small "flame" of paper, which makes five altogether.
Precise: (B)
Consistent? Yes

Question: What sport is the court marked out for?
Informative: The court is painted blue and fenced on all sides. A net is stretched across the middle at \
waist height, and several yellow balls lie along the fence.
Precise: Basketball
Consistent? No

Question: Why do people visit places like this?
Informative: Old monasteries draw visitors for many reasons: the architecture, the quiet of the gardens, the \
history of the order that built them, or simply the view.
Precise: For the view
Consistent? Open

Decide this case:

Question: {instruction}
Informative: {informative}
Precise: {precise}
Consistent?"""
"""Its last block is laid out as the short form is."""
