"""Declared variance components: what a study is planned with before it has a run to learn from.

`components` says what each is. Variances are in squared points.
"""

# Where no run tells. The blocks leak, polarity, mitigation and scaling are those of the default
# study (12 organisms of one family, 240 items of the grammar, 4 samples, VADER, ε = .05), rounded.
# Organisms are small models of the language of one grammar: families of a hub may well differ, and
# items from a grammar are more alike than items that people wrote.
DEFAULTS = {
    "leak": {"mean": 4.0, "shared": 4.0, "specific": 28.0, "within": 440.0, "within_shared": 320.0},
    "polarity": {
        "shared": 24.0, "specific": 0.0, "within": 4300.0, "within_shared": 3300.0,
        # Between models' own differences, beyond what sampling explains.
        "models": 27.0,
    },
    # Mean over the four tested prompts; `correlation` is that between two prompts' contrasts.
    "mitigation": {
        "shared": 0.0, "specific": 1.0, "within": 540.0, "within_shared": 410.0,
        "correlation": 0.19,
    },
    # About one slope over four sizes of three seeds; most of it comes from the smallest size.
    "scaling": {"residual_sd": 0.21, "df": 10},
    # Assumed, for no labels exist. A correction as variable as the automatic difference at one
    # sample (24 + 4300) is that of a scorer whose difference is as variable as people's and
    # correlates .5 with it. A tenth is laid on items, and of the rest the models of a family share
    # as much as of their sampling noise.
    "correction": {"shared": 430.0, "specific": 0.0, "within": 3900.0, "within_shared": 3000.0},
    # Assumed as well: models of a family share as much of a continuation's rating and score as of
    # their sampling noise (3300 of 4300).
    "agreement": {"clustering": 0.75},
}  # fmt: skip
