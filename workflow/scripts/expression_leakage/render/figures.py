"""The figures of the study by name."""

import inspect
from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from expression_leakage.render import by_model, contrasts
from expression_leakage.render.calibration import calibration
from expression_leakage.render.multiverse import multiverse
from expression_leakage.render.webtext import funnel

FIGURES: dict[str, Callable[..., Figure]] = {
    "scaling": by_model.scaling,
    "polarity": by_model.polarity,
    "mitigation": contrasts.mitigation,
    "agreement": contrasts.agreement,
    "balance": contrasts.balance,
    "placebo": by_model.placebo,
    "multiverse": multiverse,
    "calibration": calibration,
    "funnel": funnel,
}


def draw(name: str, material: Mapping[str, object]) -> Figure:
    """Draw one figure from the part of the material that its function asks for.

    Parameters
    ----------
    name
        One of `FIGURES`.
    material
        Frames and settings by name: `sources.read_sources`, scorer, organisms, roles.
    """
    figure = FIGURES[name]
    return figure(**{key: material[key] for key in inspect.signature(figure).parameters})
