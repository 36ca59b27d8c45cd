"""Wordings of the rule generators: our own, written for this project (data).

Slots: `{name}` what a dish is called, `{ingredients}` one per line; `{text}` a sentence with a blank or
lettered lines; `{thing}` a thing with its article; `{noun}` one without; `{is}` `is` or `are`; `{first}` and
`{second}` things with `the`, in any order. A recipe's
`{name}` may be a title or just `food` or `dish`, so that it always stands behind an article.

Source: which slots each kind of recipe task has is LLaVA-Chef's; every sentence here is ours.
"""

STEPS_FROM_INGREDIENTS = (
    "Here is what I have in the kitchen:\n{ingredients}\nHow do I turn it into the {name}?",
    "Write down the cooking steps for this {name}. It uses:\n{ingredients}",
    "Someone bought these things to make the {name}:\n{ingredients}\nTell them what to do, in order.",
    "Work out how this {name} came about. Its ingredients:\n{ingredients}",
    "The shopping list for this {name} reads:\n{ingredients}\nWhat happens with it at the stove?",
    "From start to finish, how is the {name} prepared with the following?\n{ingredients}",
    "Explain to a beginner how to cook this {name}. The beginner has:\n{ingredients}",
    "I would like to cook the {name} tonight. On my table:\n{ingredients}\nGuide me through it.",
    "Ingredients:\n{ingredients}\nNumber the steps that lead from these to the {name}.",
    "{ingredients}\nThese go into the {name}. Put the method on paper.",
    "What has to be done with each of these to get the {name}?\n{ingredients}",
    "A cook sets out the following for this {name}:\n{ingredients}\nDescribe the work that follows.",
    "Give working instructions for the {name}, based on this list:\n{ingredients}",
    "My cookbook lost the page with the method for this {name}. Only the list is left:\n{ingredients}\n"
    "Write the method again.",
    "With these in the cupboard, what is the way to the {name}?\n{ingredients}",
    "Plan the preparation of this {name}. Available:\n{ingredients}",
    "The {name} takes these:\n{ingredients}\nIn which steps is it made?",
    "List the steps, one by one, by which this {name} is made out of:\n{ingredients}",
    "How would you go about the {name} if all you had was this?\n{ingredients}",
    "Please teach me to make the {name}. I have measured out:\n{ingredients}",
    "Using\n{ingredients}\nas the ingredients, spell out how the {name} is done.",
    "For this {name} one needs:\n{ingredients}\nNow tell how it is cooked.",
    "Think of the plate you see as the goal. Which steps lead from this list to the {name}?\n{ingredients}",
    "Kitchen notes for this {name} say only:\n{ingredients}\nAdd the missing steps.",
)
"""Both slots in each."""

STEPS = (
    "How was what you see here cooked?",
    "Write the cooking steps behind this plate.",
    "I want to make this at home. What do I do, step by step?",
    "Tell me how to prepare what is shown.",
    "Which steps does a cook take to get here?",
    "Give the method for the food in the image.",
    "Explain how one makes this, from the first step to the last.",
    "Number the steps for cooking what the image shows.",
    "Suppose I had all ingredients. How would I cook this?",
    "Work backwards from the finished food: how was it made?",
    "Put the preparation of this food into clear instructions.",
    "What goes on in the kitchen before this can be served?",
)

TITLE = (
    "What is this dish called?",
    "Give the food in the image a fitting title.",
    "Which dish is this?",
    "Under which heading would a cookbook list this?",
    "Name what is on the plate.",
    "If this stood on a menu, what would it say?",
    "Find the title of the recipe that gives this result.",
    "What would you call this food?",
    "Tell me the name of what was cooked here.",
    "Write the title that belongs above this recipe.",
    "Somebody asks what is being served. What is its name?",
    "Identify the dish by name.",
)

INGREDIENTS = (
    "What is this made of?",
    "List what goes into the food shown.",
    "Which ingredients does one need for this?",
    "Write a shopping list for cooking this.",
    "Name the ingredients behind what you see.",
    "What did the cook have to buy for this?",
    "Take the food in the image apart: which ingredients are in it?",
    "Give one line for each ingredient of this food.",
    "What should be in my kitchen if I want to make this?",
    "Tell me everything that is in here.",
    "Look at the food and say what it consists of.",
    "Put together the ingredient list for this plate.",
)

RECIPE = (
    "Write the whole recipe for this {name}.",
    "How is the {name} made, and with what?",
    "I would like to cook the {name} myself. Give me everything I need to know.",
    "Set down title, ingredients and method of the {name}.",
    "Please share the complete recipe for this {name}.",
    "Tell me what to buy for the {name} and how to cook it.",
    "Turn the {name} in the image into a page of a cookbook.",
    "What would the recipe of this {name} look like?",
    "A friend tasted the {name} and asks for the recipe. Write it for them.",
    "Reconstruct the recipe that ends in this {name}.",
    "Make a recipe card for the {name}.",
    "From shopping to serving, explain this {name}.",
    "Which ingredients and steps make up the {name}?",
    "Help me cook this {name}: name it, list what goes in, and number the steps.",
    "Look at the {name} and write out its recipe in full.",
    "Give the full instructions for the {name}, with the ingredients before them.",
    "Document this {name} so that another cook can repeat it.",
    "What do I need for the {name}, and in what order do I use it?",
    "Prepare a recipe for the {name} with a title on top.",
    "You are writing for a food page. Present the {name} as a recipe.",
    "Answer with a recipe for this {name}.",
    "Show how to make the {name}, ingredients included.",
    "Write the recipe that belongs to this image.",
    "What recipe would give the result you see?",
    "Give title, ingredients and steps for what is shown.",
    "I want to cook exactly this. What is the recipe?",
    "Make a complete recipe out of what you see.",
    "Which recipe is this?",
)
"""The last six name no dish."""

GIVEN_TITLE = (
    "It is called {name}.",
    "The dish goes by the name of {name}.",
    "Its title: {name}",
    "For your information, this is {name}.",
)
"""Said of a title where the wording has no slot for it."""

GIVEN_INGREDIENTS = (
    "Among other things it holds:\n{ingredients}",
    "Some of what went into it:\n{ingredients}",
    "It was made with, for instance:\n{ingredients}",
    "A few of its ingredients:\n{ingredients}",
)
"""Said of ingredients where the wording has no slot for them."""

DESCRIBE = (
    "What does the image show?",
    "Describe the image.",
    "What can be seen here?",
    "Put into words what you see.",
    "Say what is in the picture.",
    "What is the image of?",
    "Tell me what this picture shows.",
    "Give an account of the image.",
    "How would you describe what is shown?",
    "What is this a picture of?",
    "Sum up what is visible.",
    "Write down what you see in the image.",
)

TOPIC = (
    "Say in one sentence what the image is about.",
    "What does the image show first of all?",
    "If you had one sentence to introduce the image, what would it be?",
    "Name the subject of the image in a sentence.",
    "What should be said first about this image?",
    "In a single sentence, what are we looking at?",
    "Open an account of this image with one sentence.",
    "What is the main thing to say about the image?",
    "Begin to describe the image; one sentence will do.",
    "Which one sentence tells what this is?",
)

FILL_IN = (
    "One word is missing from this sentence about the image. Which?\n{text}",
    "Look at the image and fill the gap.\n{text}",
    "Complete the sentence with one word.\n{text}",
    "Which word belongs in the blank?\n{text}",
    "The sentence below fits the image once its gap is filled. Fill it.\n{text}",
    "{text}\nWhat goes in the gap?",
    "{text}\nGive the missing word.",
    "Read the sentence, look at the image, and supply the word left out.\n{text}",
    "Find the word that makes this sentence fit the image.\n{text}",
    "A word has been blanked out below. What is it?\n{text}",
)

PRESENCE = (
    "Is there {thing} in the image?",
    "Can you see {thing} here?",
    "Does the image show {thing}?",
    "Is {thing} shown?",
    "Would you say that there is {thing} in this picture?",
    "Look for {thing}. Is there one?",
    "Does {thing} appear in the image?",
    "Is {thing} part of what you see?",
    "Yes or no: the image contains {thing}.",
    "Can {thing} be found in the picture?",
)

CHOICE = (
    "Which of these is in the image?\n{text}",
    "One of the following can be seen. Which one?\n{text}",
    "Choose what the image shows.\n{text}",
    "Pick the letter of the thing that is shown.\n{text}",
    "Which letter names something in the picture?\n{text}",
    "Only one of these belongs to the image. Which?\n{text}",
    "{text}\nWhich of these do you see?",
    "Look at the image and choose the one that appears in it.\n{text}",
    "Three of these are not in the image. Which one is?\n{text}",
    "What is shown here? Give the letter.\n{text}",
)

COLOUR = (
    "What colour {is} the {noun}?",
    "Which colour {is} the {noun} in the image?",
    "Tell me the colour of the {noun}.",
    "Name the colour of the {noun}.",
    "Look at the {noun}. What colour do you see?",
    "How would you name the colour of the {noun}?",
    "In what colour {is} the {noun} shown?",
    "Give the colour of the {noun} in the picture.",
    "What is the colour of the {noun}?",
    "The {noun}: which colour?",
)

COUNT = (
    "How many {noun} are there?",
    "How many {noun} can you see in the image?",
    "Count the {noun}.",
    "What is the number of {noun} in the picture?",
    "Tell me how many {noun} the image shows.",
    "Give the number of {noun}.",
    "How many {noun} are shown here?",
    "Look at the {noun}. How many are there?",
    "State the number of {noun} you see.",
    "If you count the {noun}, what do you get?",
)

ORDER = (
    "These sentences once told about the image one after the other. Restore their order.\n{text}",
    "The sentences below were shuffled. In which order do they make a text about the image?\n{text}",
    "Arrange these sentences into an account of the image.\n{text}",
    "Sort the sentences so that they read as one text about the image.\n{text}",
    "In what order do these sentences belong?\n{text}",
    "{text}\nPut these sentences about the image in order. Answer with the letters.",
    "Which order of the lettered sentences gives a text that fits together?\n{text}",
    "Someone mixed up an account of the image. Give the letters in the right order.\n{text}",
    "Bring the sentences into their order.\n{text}",
    "Read the sentences and say which comes first, which next, and so on.\n{text}",
)

SIDE = (
    "Which is further to the left, {first} or {second}?",
    "{first} and {second}: which of the two is nearer to the left edge?",
    "Look from left to right. What comes first, {first} or {second}?",
    "Of {first} and {second}, which one stands more to the left?",
    "Is {first} or {second} on the left of the other?",
    "What is on the left: {first} or {second}?",
    "Compare {first} with {second}. Which one is further left in the image?",
    "Going from the left edge to the right, which do you meet first: {first} or {second}?",
    "Name the one that is further left: {first} or {second}.",
    "Between {first} and {second}, which is closer to the left side of the picture?",
)

BLANK = "____"

ABSENT = (
    (
        "animal wildlife zoo safari creature jungle farm circus cat dog horse bird cow sheep",
        "an elephant|a giraffe|a camel|a zebra|a kangaroo|a penguin|a peacock|a crocodile|a rhinoceros"
        "|a hedgehog",
    ),
    (
        "animal sea ocean fish marine aquarium underwater water beach coast boat ship",
        "an octopus|a dolphin|a jellyfish|a lobster|a seahorse",
    ),
    (
        "vehicle traffic transport machine military port harbo boat ship train plane aircraft car truck "
        "road farm",
        "a helicopter|a submarine|a tractor|a bulldozer|a locomotive|a canoe|a gondola|a hovercraft",
    ),
    (
        "building architect skyline city town tower village landmark map coast house castle",
        "a lighthouse|a windmill|a pyramid|an igloo|a pagoda|a drawbridge",
    ),
    (
        "landscape mountain nature sky weather scenery island forest river lake sea ocean snow ice park",
        "a volcano|a waterfall|an iceberg|a rainbow|a geyser|a glacier",
    ),
    (
        "music band orchestra instrument concert jazz rock stage singer party",
        "a harp|a trombone|an accordion|a saxophone|a tuba|a xylophone",
    ),
    (
        "toy garden playground circus collection antique furniture sport snow fort castle ship farm",
        "a typewriter|an anchor|a cannon|a wheelbarrow|a scarecrow|a trampoline|a sewing machine",
    ),
)
"""Things that nobody would leave out of a caption: word beginnings that rule a row out, then the things.

A row is not used where one of its first words begins any word of the record: `animals` may mean elephants.
"""
