"""Words that the rules for captions know, all English (data)."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ABBREVIATIONS = _set(
    """
    dr mr mrs ms prof st e.g i.e vs cf approx fig figs eq no nos vol pp ca etc al inc ltd jr sr u.s a.m
    p.m
    """
)
FUNCTION_WORDS = _set(
    """
    a an the this that these those and or but nor so if then than as at by for from in into of off on
    onto out over to under up upon with within without about above across after against along among
    around before behind below beneath beside besides between beyond down during inside near next
    outside past per since through throughout till toward towards until via is are was were be been
    being am has have had having do does did doing done will would shall should can could may might must
    not no yes it its he she they them him her his hers their theirs we us our you your i me my mine who
    whom whose which what where when while why how there here all any both each either every few many
    more most much neither other others another some several such same very too also just only even
    still yet again ever never one two three four five six seven eight nine ten eleven twelve first
    second third last because although though however
    """
)
"""Words that say little by themselves; they are never asked for."""
ADJECTIVES = _set(
    """
    big small large little tiny huge giant tall short long wide narrow round square flat thick thin old
    young new modern ancient antique vintage beautiful pretty cute handsome wooden metal plastic glass
    stone brick marble leather cotton paper empty full open closed broken clean dirty dark light bright
    pale deep shiny wet dry fresh hot cold soft smooth rough simple single happy sad busy quiet colorful
    colourful striped rocky snowy sandy grassy muddy dusty fluffy furry domestic wild
    """
)
"""May stand between an article and its noun."""
COLOURS = _set(
    """
    red green blue yellow black white brown pink purple orange grey gray beige turquoise maroon
    """
)
SHADES = _set("light dark bright pale deep")
AFTER_NOUN = _set(
    """
    in on at with by from to near under over behind beside between against into onto through across
    along around above below inside outside during within beneath among toward towards sitting standing
    holding wearing walking running riding playing looking working lying laying hanging showing making
    eating driving flying jumping using featuring swimming smiling posing talking carrying sleeping
    filled covered decorated displayed surrounded parked seen shown of for and is are was were has have
    that which who whose where while as next stands sits lies
    """
)
"""Words that end a noun phrase."""
UNASKABLE = _set(
    """
    image picture photo photograph photography figure view shot close-up closeup illustration drawing
    painting sketch rendering render graphic poster print portrait panel scan scene background
    foreground front back top bottom side left right middle center centre corner edge end part piece bit
    lot group set pair couple bunch number variety range series row line kind type sort form shape size
    style pattern color colour tone shade hue design way day night morning evening afternoon time moment
    year month week world place area space position level case example sample angle note word words text
    title name letter caption label sign symbol idea concept theme sense look result effect cause change
    increase decrease history reason half quarter few little while good great total percent study
    patient trip event party job matter mixture combination selection collection assortment version
    amount distance direction height width depth degree
    """
)
"""Nouns that name no thing in a picture, or that name the picture itself."""
PEOPLE = _set(
    """
    man men woman women person people boy boys girl girls male female child children kid kids baby
    babies lady ladies guy guys gentleman gentlemen couple family families american americans african
    asian
    """
)
COLOURLESS = _set("blood wine gold juice peel tree trees hole holes house power list meat cell cells")
"""With a colour before them these may be names of something else."""
UNCOUNTED = _set(
    """
    years year months weeks days hours minutes seconds times percent types kinds sorts ways cm mm km m
    kg g mg ml inches feet miles metres meters degrees dollars euros pounds cents points stages steps
    levels parts photos pictures images views panels figures sets pairs series rows sides sizes shades
    colors colours styles patterns thirds quarters halves others dimensions grades cases patients
    examples samples stars
    """
)
"""Plurals whose number is not a number of things in the picture."""
PLURALS = _set("men women people children sheep geese teeth feet mice deer")
"""Plurals that end in no s."""
NUMERALS = {
    word: str(number)
    for number, word in enumerate("two three four five six seven eight nine ten eleven twelve".split(), 2)  # noqa: SIM905
}
NUMBERS = frozenset(NUMERALS) | {str(number) for number in range(2, 21)}
VAGUE = _set(
    """
    least most than about over under to or nearly almost around between every other another
    approximately up
    """
)
"""Before a number, these make it none."""
COMPARING = _set("like as for than into to per resembling becoming without no half such not")
"""Before an article: what follows need not be there."""
DEPICTING = _set(
    """
    photo image picture photograph illustration drawing painting portrait view group close-up closeup
    """
)
ENGLISH = _set(
    """
    the of and with is are was were this that from for by at an on in near her his its their two three
    """
)
"""One of these in a text makes it English, as far as rules can tell."""
SINGULARS = {
    "men": "man",
    "women": "woman",
    "people": "person",
    "children": "child",
    "geese": "goose",
    "teeth": "tooth",
    "feet": "foot",
    "mice": "mouse",
    "knives": "knife",
    "leaves": "leaf",
    "loaves": "loaf",
    "shelves": "shelf",
}
