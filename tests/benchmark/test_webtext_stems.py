import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expression_leakage.benchmark.webtext.stems import StemRules, cut_stem

RULES = StemRules()

# The stem is what stands before the bar; a sentence without a bar has none.
CASES = [
    # a copula leaves most open
    "The dial of the clock was | engraved by a printer.",
    "The oldest houses in the lane are | built of flint and brick.",
    "On Sundays the last bus to Millbrook is | met by a taxi.",
    "The boxes on the top shelf were | labelled in pencil by a student.",
    "The first step of the repair is | to take the back plate off.",
    "When the pan is hot, the oil is | poured in from the side.",
    "In the yard behind the school there are | two sheds and a bench.",
    # of several copulas the last that belongs to a noun
    "The key of the shed that is used in winter is | kept on a hook.",
    "The gate that is painted green was | bought at an auction in 1950.",
    # some other verbs leave an object or a verb open
    "The second volume of the diary contains | forty letters to a cousin.",
    "The fare for a bicycle on the ferry includes | the deck and the ramp.",
    "The new school by the river has | twelve rooms and two halls.",
    "The door of the old stable can | slide to the left on rails.",
    "The bakery at the corner will | move to the market in spring.",
    # then conjunctions and relative pronouns
    "The van takes the ferry because | the bridge closed last week.",
    "Amsterdam built another canal while | the harbour filled with mud.",
    "The ferry crossed the river until | the bridge opened in 1931.",
    "The painter rented a studio, and | the baker rented the shop below.",
    "The curator wrote a label which | names the maker and the year.",
    "The archive holds a map that | shows the old course of the river.",
    # then prepositions
    "The maker wrote the year on | a plate underneath the dial.",
    "The road to the mill runs between | two rows of poplars.",
    "The potter drew a line with | a pin and a ruler.",
    # an "of" last of all
    "The dial is a sheet of | painted tin plate.",
    "The letter came from the office of | the county surveyor.",
    # never after an article, adjective, particle, fixed phrase or list opener
    "The clerk drove the van to | the old market.",
    "The clerk drove a van to market.",
    "The clerk went in order to | turn off the lamps.",
    "The clerk of the town gave in to the plan.",
    "The shop on the corner took on two more men.",
    "The clerk set up the projector in the hall.",
    "The clerk went there in order to copy it.",
    "Big trees such as oaks grow there.",
    "The council built two roads instead of one.",
    # too short, before or after the cut
    "The clock is oak.",
    "Two boxes held winter coats last year again.",
    "The clock in the hall is very old.",
    # a question, an instruction, a heading
    "Is the clock in the hall of the museum made of oak?",
    "The clock in the hall is made of oak?",
    "Put the clock that is in the hall on the table.",
    "Before noon, carry the clock that is in the hall to the office.",
    "A short history of the clocks of the county museum by a curator.",
    # people who speak, are spoken to or feel
    "The letters I wrote to the coast were put in a box.",
    "The clock on our landing was made by a printer.",
    "The colour that you choose is stored in a file of the office.",
    "The feeling in the village was that the road would come.",
    # conditions and what needs its context
    "If the lid is left open the milk is sour by noon.",
    "When the lid is off the milk is sour by noon.",
    "Such clocks are made of oak and tin plate.",
    "As they are heavy the clocks are moved on a cart.",
    "For example, the clock in the hall was made of oak.",
    "Their first clock was sold to a museum in 1950.",
    "Only at the mill are the sluices opened by hand.",
    # a bracket or a quotation is not cut into; before it a stem may end
    "The clock (the one that was given to the town by a printer) ran.",
    "The dial of the clock was “engraved” by a printer.",
    "The word “clock” in the old sense is a bell of the tower.",
    "The clock of the town hall is | oak (the case was made in 1950).",
    # a demonstrative is no conjunction, a subject no opening
    "The clerk drew a map of that old mill nearby.",
    "The clerk drove the old van and a new cart.",
    "The clerk drew what is written on the dial.",
]


def split(case: str) -> tuple[str, str] | None:
    stem, bar, rest = case.partition(" | ")
    return (stem, rest) if bar else None


@pytest.mark.parametrize("case", CASES)
def test_a_stem_ends_where_something_must_follow(case):
    assert cut_stem(case.replace(" | ", " "), RULES) == split(case)


def test_white_space_of_the_source_is_not_kept():
    assert cut_stem("The  dial of the\tclock was engraved by a printer.", RULES) == (
        "The dial of the clock was",
        "engraved by a printer.",
    )


def test_lengths_are_as_configured():
    text = "The dial was engraved by a printer in the old town by the river."
    assert cut_stem(text, RULES) == ("The dial was engraved by a printer in", text[38:])
    shorter = StemRules(min_words=3, max_words=4, min_rest_words=1)
    assert cut_stem(text, shorter) == ("The dial was", text[13:])
    assert cut_stem(text, StemRules(min_rest_words=12)) is None


def test_no_cut_lies_beyond_what_a_stem_must_not_hold():
    text = "The dial of the clock was given to us by a printer who was in the town."
    assert cut_stem(text, RULES) == ("The dial of the clock was", text[26:])


VOCABULARY = (
    "The the a an old clock dial was is are has that which who because and but , of in on to with"
    " set up turned such as order if you my wrote built (one) oak. red, it"
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(VOCABULARY.split()), max_size=25))
def test_any_cut_is_of_whole_words_within_the_lengths(words):
    text = " ".join(words)
    cut = cut_stem(text, RULES)
    if cut is None:
        return
    stem, rest = cut
    assert f"{stem} {rest}" == text
    assert 5 <= len(stem.split()) <= 16
    assert len(rest.split()) >= 3
    assert stem.split()[-1] not in {
        "a",
        "an",
        "the",
        "The",
        "old",
        "up",
        "as",
        "such",
        "it",
        "red,",
    }
    assert not {"you", "my", "if", "it", "such", "(one)"} & set(stem.split())
