import csv
import io
import re
import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import typst
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from expression_leakage.render.formats import to_csv, to_html, to_latex, to_markdown
from expression_leakage.render.stages import stages
from expression_leakage.render.style import PALE, WIDTH_MM, save_figure
from expression_leakage.render.webtext import funnel, funnel_table, sample_table
from expression_leakage.tables import content_hash

KINDS = ("stem_neutral", "injection_neutral", "injection_positive", "injection_negative")
SMALL = {
    "records": 50, "records_other": 4, "records_digest": 1, "records_status": 4, "pages_timeout": 1,
    "pages": 40, "pages_language": 6, "pages_stop_words": 2, "pages_kept": 32,
    "lines_policy": 3, "bytes_text": 32_476, "resyncs": 0,
    "sentences": 1_000, "sentences_unfinished": 600, "sentences_form": 198, "sentences_verbless": 1,
    "sentences_language": 1, "sentences_kept": 200,
    "gate_neutral": 100, "gate_positive": 20, "gate_negative": 5, "gate_none": 75,
    "dropped_neutral": 15, "dropped_positive": 10,
    "candidates_stem_neutral": 50, "candidates_injection_neutral": 30,
    "candidates_injection_positive": 15, "candidates_injection_negative": 5,
    "unique_stem_neutral": 48, "unique_injection_neutral": 30, "unique_injection_positive": 12,
    "unique_injection_negative": 5, "near_duplicates": 3,
    "judged_stem_neutral_kept": 40, "judged_stem_neutral_other": 6,
    "judged_injection_neutral_kept": 29, "judged_injection_neutral_other": 0,
    "judged_injection_positive_kept": 9, "judged_injection_positive_other": 3,
    "judged_injection_negative_kept": 1, "judged_injection_negative_other": 4,
    "pair_stems": 40, "pair_stems_without_quad": 36, "pair_quads": 700, "pair_mean_reuse": 1.5,
    "items": 4,
}  # fmt: skip
# The same funnel at the size of a snapshot, which makes every number long.
LARGE = {key: n if key == "pair_mean_reuse" else n * 123_456_789 for key, n in SMALL.items()}
WET_ONLY = {key: n for key, n in SMALL.items() if not key.startswith(("records", "pair"))}
MAP_ONLY = {
    key: n
    for key, n in SMALL.items()
    if key.startswith(("records", "pages", "sentences", "gate", "dropped", "candidates"))
}
FUNNELS = {"small": SMALL, "large": LARGE, "no records": WET_ONLY, "map": MAP_ONLY}
ARMS = ("control", "placebo", "negative", "positive")
HOSTILE = (
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script> & <b>",
    r"\input{/etc/passwd} 100 % $x_1$",
    '#import "x.typ" #panic("!") *bold*',
    "| a | [link](javascript:x) `code`",
)


def written(figure):
    """Texts that are seen, each with its box [pixels]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = figure.findobj(match=lambda a: hasattr(a, "get_text"))
    for axis in (a for ax in figure.axes for a in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        beyond = [t for t in axis.get_major_ticks() if not low <= t.get_loc() <= high]
        found = [t for t in found if t not in {tick.label1 for tick in beyond}]
    seen = [t for t in found if t.get_visible() and t.get_text()]
    return [(t.get_text(), t.get_window_extent(canvas.get_renderer())) for t in seen]


@pytest.mark.parametrize("name", FUNNELS)
def test_no_text_of_the_figure_meets_another_or_leaves_the_page(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = funnel(FUNNELS[name])
        figure.set_dpi(180)
        texts = written(figure)
    page = figure.bbox
    for text, box in texts:
        assert page.x0 <= box.x0 and box.x1 <= page.x1, text
        assert page.y0 <= box.y0 and box.y1 <= page.y1, text
    for (first, a), (second, b) in combinations(texts, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 0 or down <= 2, (first, second)
    assert figure.get_figwidth() * 25.4 == pytest.approx(WIDTH_MM)
    assert all(ax.get_xlabel() for ax in figure.axes)


def test_bars_are_as_long_as_the_counts_and_shares_they_stand_for():
    counts, fates = funnel(SMALL).axes
    assert counts.get_xscale() == "log"
    assert [bar.get_width() for bar in counts.patches] == [
        50, 40, 32, 1_000, 200, 100, 20, 5, 50, 30, 15, 5, 48, 30, 12, 5, 40, 29, 9, 1, 40, 4
    ]  # fmt: skip
    shares = [[], []]
    for bar in fates.patches:
        shares[to_hex(bar.get_facecolor()) == PALE.lower()].append(bar.get_width())
    assert shares[0] == pytest.approx([80, 80, 20, 62.5, 80, 95, 100 * 79 / 95, 10])
    assert shares[1] == pytest.approx(
        [8, 8, 2, 2, 15, 5, 60, 19.8, 0.2, 37.5, 12, 8, 5, 100 * 3 / 95, 100 * 13 / 95, 90]
    )


def test_what_was_dropped_is_said_beside_its_bar():
    said = " ".join(text for text, _ in written(funnel(SMALL)))
    for words in (
        "goes on 80 %", "status not 200 8.0 %", "extraction timed out 2.0 %", "language 15 %",
        "unfinished 60 %", "2 others 0.2 %", "no clear polarity 38 %",
        "neither injection nor stem 12 %", "positive: no injection 8.0 %",
        "near-duplicates 3.2 %", "judged otherwise 14 %", "repeated or beyond the sample 5.0 %",
        "no matched, unrelated injections left 90 %",
    ):  # fmt: skip
        assert words in said
    assert {"9 positive", "1 negative", "40 stems", "1,000"} <= {
        text for text, _ in written(funnel(SMALL))
    }


def test_the_figure_drawn_twice_has_the_same_bytes(tmp_path):
    files = [save_figure(funnel(SMALL), tmp_path / f / "funnel") for f in "ab"]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_without_web_text_the_figure_says_so_and_the_table_is_empty():
    assert any("No web text" in text for text, _ in written(funnel({})))
    assert funnel_table({}).empty
    assert list(funnel_table({}).columns) == ["Stage", "Counted", "Count", "Share [%]"]


def test_stages_without_a_count_are_left_out():
    assert [stage.name for stage in stages(MAP_ONLY)] == [
        "records", "pages", "pages kept", "sentences", "well-formed", "of one polarity",
        "candidates",
    ]  # fmt: skip
    assert not stages(MAP_ONLY)[-1].dropped
    assert stages(WET_ONLY)[0].name == "pages"


def test_every_counter_stands_in_the_table_once():
    counts = funnel_table(SMALL)["Count"].tolist()
    expected = [n for n in SMALL.values() if n]
    expected += [125, 100, 95, 79]  # classes together: gate, candidates, unique, kept by the judge
    expected += [5, 13]  # repeats, and what the judge did not keep
    said = sorted(f"{n:,}" if isinstance(n, int) else f"{n:.2f}" for n in expected)
    assert sorted(counts) == said


def test_shares_are_of_the_stage_before_or_of_the_stage_itself():
    table = funnel_table(SMALL)
    stage = table["Stage"].replace("", None).ffill()
    share = table.set_index([stage, "Counted"])["Share [%]"]
    assert share["pages", "all"] == "80"
    assert share["records", "dropped: status not 200"] == "8.0"
    assert share["sentences", "all"] == "–"
    assert share["sentences", "dropped: no verb"] == "0.1"
    assert share["of one polarity", "all"] == "62"
    assert share["unique", "stems"] == "51"
    assert share["items", "all"] == "–"
    assert share["besides", "positive injections: judged otherwise"] == "–"
    assert table.map(lambda cell: isinstance(cell, str)).all(axis=None)


def make_items(n=60, text="Sentence"):
    """Items of web text, their sentences, and one curated item."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(n):
        stem = f"Stem {number} is"
        rows += [
            {"item_id": f"{number:04x}", "source": "webtext", "stem": stem, "condition": arm,
             "injection": "" if arm == "plain" else f"{text} {arm} {rng.integers(30)}"}
            for arm in (*ARMS, "plain")
        ]  # fmt: skip
    items = pd.DataFrame(rows)
    injections = items.loc[items["condition"] != "plain", "injection"].unique()
    sentences = pd.concat(
        [
            pd.DataFrame({"kind": "injection", "text": injections, "rest": ""}),
            pd.DataFrame({"kind": "stem", "text": items["stem"].unique()}),
        ]
    ).reset_index(drop=True)
    is_stem = sentences["kind"] == "stem"
    sentences.loc[is_stem, "rest"] = "what followed " + sentences["text"] + "."
    sentences["host"] = [f"host{k % 7}.example.org" for k in range(len(sentences))]
    curated = items.iloc[:5].assign(source="curated", item_id="0")
    return pd.concat([items, curated]), sentences


def test_the_sample_is_the_items_whose_ids_have_the_lowest_hashes():
    items, sentences = make_items()
    table = sample_table(items, sentences)
    ids = [f"{number:04x}" for number in range(60)]
    assert table["Item"].tolist() == sorted(ids, key=content_hash)[:20]
    shuffled = sample_table(items.sample(frac=1, random_state=1), sentences.iloc[::-1])
    pd.testing.assert_frame_equal(table, shuffled)
    assert len(sample_table(items, sentences, n=100)) == 60


def test_without_items_of_web_text_the_sample_says_so():
    items, sentences = make_items()
    none = sample_table(items[items["source"] != "webtext"], sentences.head(0))
    assert none["Stem"].tolist() == ["No item was made of web text."]
    assert list(none.columns) == list(sample_table(items, sentences).columns)


def test_a_row_holds_an_item_as_it_was_found():
    items, sentences = make_items()
    hosts = sentences.set_index("text")["host"]
    for row in sample_table(items, sentences).to_dict("records"):
        own = items[items["item_id"] == row["Item"]].set_index("condition")
        assert row["Stem"] == own["stem"].iloc[0]
        assert row["As it went on"] == f"what followed {row['Stem']}."
        texts = [row["Stem"], *(row[arm.capitalize()] for arm in ARMS)]
        assert texts[1:] == [own.loc[arm, "injection"] for arm in ARMS]
        assert row["Hosts"].split(", ") == list(dict.fromkeys(hosts[texts]))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_of_a_page_is_only_shown(text, tmp_path):
    items, sentences = make_items(4, text)
    table = sample_table(items, sentences)
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    cells = [cell for row in rows for cell in row.values()]
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in cells)
    assert [row["Control"].removeprefix("'") for row in rows] == table["Control"].tolist()
    page = to_html(table, "c", "t")
    assert "<script>" not in page
    assert page.count("<b>") == 0
    latex = to_latex(table, "c", "x")
    assert r"\input" not in latex
    assert not any(mark in latex.replace("\\" + mark, "") for mark in "$%#_")
    lines = to_markdown(table, "c").splitlines()[4:]
    assert all(line.count("|") - line.count(r"\|") == 1 + len(table.columns) for line in lines)
    assert not re.search(r"(?<!\\)\]\(", "".join(lines))
    (tmp_path / "sample.csv").write_text(to_csv(table), encoding="utf-8")
    (tmp_path / "main.typ").write_text(
        '#let rows = csv("sample.csv")\n#table(columns: 8, ..rows.flatten())\n', encoding="utf-8"
    )
    # Markup in a cell that was run would import a file that is not there, or panic.
    assert typst.compile(tmp_path / "main.typ", root=tmp_path).startswith(b"%PDF")
