"""Scorers against people, on ratings that may not be redistributed and so may be missing."""

from pathlib import Path

import pandas as pd
import pytest

from expression_leakage.scoring.sentiment import vader

EMOBANK = Path(__file__).parents[3] / "shared" / "data" / "emobank_sentences.csv"


@pytest.mark.skipif(not EMOBANK.exists(), reason="EmoBank is not at hand")
def test_vader_ranks_sentences_roughly_as_readers_do():
    bank = pd.read_csv(EMOBANK, keep_default_na=False)
    dev = bank[bank["split"] == "dev"]
    vader_scores = pd.Series(vader(dev["text"]), index=dev.index)
    assert vader_scores.corr(dev["V"], method="spearman") > 0.35
