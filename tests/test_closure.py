from pathlib import Path

from expression_leakage.closure import imported_files

ROOT = Path(__file__).parents[1]


def names(path):
    return {file.name for file in imported_files(ROOT / path)}


def test_imports_of_imports_and_lazy_ones_are_found():
    assert {"scorers.py", "sentiment.py", "text.py", "local.py", "sampling.py"} <= names(
        "workflow/scripts/score.py"
    )


def test_a_stage_does_not_depend_on_rooms_it_never_enters():
    assert not {"figures.py", "metrics.py", "local.py"} & names(
        "workflow/scripts/train_organism.py"
    )
    assert "organism.py" not in names("workflow/scripts/figure.py")


def test_a_notebooks_cells_are_read():
    assert {"tables.py", "formats.py"} <= names("notebooks/explore_leakage.ipynb")


def test_reading_a_crawl_again_is_not_the_price_of_another_judge():
    assert not {"judge.py", "valence.py", "embed.py", "pair.py", "reduce.py"} & names(
        "workflow/scripts/webtext_candidates.py"
    )
