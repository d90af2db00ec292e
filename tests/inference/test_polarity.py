import numpy as np
import pytest
from planted import THREE_SIZES, leaks, planted_scores
from scipy import stats

from expression_leakage.inference.matrix import ItemCells
from expression_leakage.inference.polarity import paired_differences


def planted(negative, positive):
    def leak(model, condition, mitigation, relevance):
        return {"negative": -negative, "positive": positive}.get(condition, 0.0)

    return leaks(planted_scores(THREE_SIZES, leak))


def test_equals_the_paired_t_test():
    values = planted(0.4, 0.2)
    found = paired_differences(ItemCells.from_values(values), list(THREE_SIZES))
    own = values[values["model"] == "m"].pivot(index="item_id", columns="polarity", values="value")
    interval = stats.ttest_rel(own["negative"], own["positive"]).confidence_interval(0.95)
    row = found.models.set_index("model").loc["m"]
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("sign", [1, -1])
def test_planted_direction_is_found(sign):
    values = planted(0.4 if sign > 0 else 0.1, 0.1 if sign > 0 else 0.4)
    found = paired_differences(ItemCells.from_values(values), list(THREE_SIZES))
    assert sign * found.pooled.estimate > 5
    assert found.pooled.low * found.pooled.high > 0
    assert (found.share_negative, found.share_positive) == ((1, 0) if sign > 0 else (0, 1))


def test_pooled_is_the_mean_over_models():
    found = paired_differences(ItemCells.from_values(planted(0.2, 0.2)), list(THREE_SIZES))
    assert found.pooled.estimate == pytest.approx(np.mean(found.models["estimate"]))
