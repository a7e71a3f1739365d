"""The page of a run: what it says, and how it behaves in a real browser."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from own_text import own_corpus

from evop_deap.base.files import sha256_of_file
from evop_deap.models.loading.beside_decoder import BesideDecoder
from evop_deap.report import main as report
from evop_deap.reporting import page as page_module
from evop_deap.reporting.axes import round_numbers
from evop_deap.reporting.compared_patterns import rivals_of
from evop_deap.reporting.model_card import model_card
from evop_deap.reporting.page import page
from evop_deap.reporting.page_parts import Column, Table, plot
from evop_deap.reporting.settings import command_of
from evop_deap.reporting.strip import strip
from evop_deap.reporting.summary import sentences
from evop_deap.runs.run_search import run_search
from evop_deap.runs.storage.loaded_run import Run, load_run
from evop_deap.runs.storage.result import SearchResult
from evop_deap.runs.storage.text_losses import PairedLoss
from evop_deap.settings.search_config import SearchConfig

FIGURES = (
    "pattern",
    "perplexity",
    "rivals-0",
    "effects",
    "course",
    "drops-0",
    "work-0",
    "clusters-0",
)


@pytest.fixture(scope="session")
def other_run(run_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the same model and text that drops less, in a finished_run of the same name."""
    output = tmp_path_factory.mktemp("others") / "one"
    run_search(SearchConfig(sparsity=0.2, surrogate="none", **run_settings), output)
    return output


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", html, flags=re.S))


def test_every_search_ends_with_a_page_of_itself_that_needs_nothing(finished_run: Path) -> None:
    html = (finished_run / "report.html").read_text()
    assert len(html.encode()) < 5e6
    for name in FIGURES:
        assert f'<figure id="{name}"' in html
    ours = html[: html.index("plotly.js (cartesian")] + html[html.rindex("<script>") :]
    assert not re.search(r"(src|href)=\"(?!#|data:,)|https?://|@import|url\(", ours)
    assert "default-src 'none'" in html
    assert "connect-src 'none'" in html


def test_a_page_says_what_was_done_with_the_numbers_of_the_result(finished_run: Path) -> None:
    run = load_run(finished_run)
    assert run.result is not None
    said = text_of((finished_run / "report.html").read_text())
    first, second, third = sentences(run.result, "llama")
    for sentence in (first, second, third):
        assert sentence in said
    assert " and ".join(run.result.dropped) in first
    assert f"{run.result.heldout.perplexity['pruned']:.2f}" in second
    assert str(run.result.evaluations) in third


def test_a_page_shows_the_best_rule_and_the_runner_up_beside_what_was_found(
    finished_run: Path,
) -> None:
    run = load_run(finished_run)
    assert run.result is not None
    html = (finished_run / "report.html").read_text()
    (figure,) = re.findall(r'<figure id="rivals-0".*?</figure>', html, re.S)
    rivals = rivals_of(run.result)
    assert rivals
    assert figure.count("<tr>") == 1 + 2 * len(rivals)
    for rival in rivals:
        for text in (rival.calibration, rival.heldout):
            assert f'data-sort="{text.difference}"' in figure
            assert f'data-sort="{text.error}"' in figure
        assert f"<td>{', '.join(rival.dropped)}</td>" in figure
    rule = run.result.heuristics[0]
    assert html.count(f'<span class="strip-name">{rule.name}</span>') == 1


def test_a_page_says_how_far_the_pattern_found_is_behind_the_best(finished_run: Path) -> None:
    run = load_run(finished_run)
    assert run.result is not None
    one = {**run.result.finalists[0], "behind": 0.0088, "error": 0.0095}
    other = {**one, "dropped": ("0", "1"), "behind": 0.0, "error": 0.0}
    result = dataclasses.replace(run.result, finalists=(one, other))  # type: ignore[arg-type]
    html = page([dataclasses.replace(run, result=result)])
    (figure,) = re.findall(r'<figure id="pattern".*?</figure>', html, re.S)
    rows = re.findall(r"<tr>(<td>found.*?)</tr>", figure, re.S)
    assert 'data-sort="0.0088"' in rows[0]
    assert 'data-sort="0.0095"' in rows[0]
    assert 'data-sort="0.0"' in rows[1]
    assert "near-equals by calibration text" not in figure
    assert "other close patterns" in figure


def test_perplexities_side_by_side_are_of_models_made_alike(tmp_path: Path) -> None:
    model, corpus = own_corpus(tmp_path, 60)
    config = SearchConfig(
        model=model, corpus=corpus, sparsity=0.4, window=16, tokens=256, heldout_tokens=256,
        generations=0,
    )  # fmt: skip
    result = run_search(config, tmp_path / "run")
    assert isinstance(result, SearchResult)
    assert result.is_compensated
    run = load_run(tmp_path / "run")
    for compensated in (False, True):
        rule = dataclasses.replace(result.heuristics[0], compensated=compensated)
        shown = dataclasses.replace(result, heuristics=(rule,))
        html = page([dataclasses.replace(run, result=shown)])
        (bars,) = re.findall(r'<figure id="perplexity".*?</figure>', html, re.S)
        # A compensated pick is not put beside the pruned model, which is not.
        beside = [
            f"{rule.name} alone: {rule.heldout.perplexity:.2f}" in text_of(html),
            f"best heuristic {rule.heldout.perplexity:.2f}" in text_of(html),
            f'data-sort="{rule.heldout.perplexity}"' in bars,
            '"name": "best heuristic"' in bars,
        ]
        assert beside == [not compensated] * 4
        for text in (result.calibration, result.heldout):
            assert f'data-sort="{text.perplexity["compensated"]}"' in bars
        assert '"name": "compensated"' in bars
    twice = page([run, dataclasses.replace(run, folder=tmp_path / "other")])
    (curve,) = re.findall(r'<figure id="curve".*?</figure>', twice, re.S)
    assert f'data-sort="{result.heldout.perplexity["compensated"]}"' in curve
    assert f'data-sort="{result.heldout.perplexity["pruned"]}"' not in curve


@pytest.mark.parametrize("granularity", ["block", "half"])
def test_one_pass_is_through_all_units(
    granularity: str, run_settings: dict[str, Any], tmp_path: Path
) -> None:
    config = SearchConfig(
        sparsity=0.4, granularity=granularity, init=("balanced",), racing="off", **run_settings
    )
    run_search(config, tmp_path)
    html = (tmp_path / "report.html").read_text()
    sort = r"</td><td[^>]*data-sort=\"([0-9.]+)\""
    passes = r"passes through the blocks"
    (shared,) = re.findall(passes + sort, html)
    (alone,) = re.findall(passes + ", with each pattern alone and on all windows" + sort, html)
    # The dense model is evaluated, too.
    assert 1 < float(shared) <= float(alone) + 1


PASSES = "passes through the (?:blocks|head)[^<]*"


def passes_of(run: Run) -> list[float]:
    cells = re.findall(rf"<td>{PASSES}</td><td[^>]*data-sort=\"([0-9.]+)\"", page([run]))
    return [float(cell) for cell in cells]


def test_work_of_each_pattern_alone_includes_the_dense_pass_as_executed_work_does(
    finished_run: Path,
) -> None:
    run = load_run(finished_run)
    assert run.result is not None
    shared, alone, heads, whole = passes_of(run)
    evaluations = run.result.evaluations
    assert alone == pytest.approx(1 + evaluations * (1 - run.result.sparsity))
    assert whole == 1 + evaluations
    assert (shared <= alone, heads <= whole) == (True, True)


def test_patterns_of_many_sizes_have_no_common_share_of_work_alone(finished_run: Path) -> None:
    run = load_run(finished_run)
    assert run.result is not None
    front = dataclasses.replace(run, settings={**run.settings, "pareto": "parameters"})
    by_size = {**run.result.budget[0], "kind": "parameters"}
    weighed = dataclasses.replace(run.result, budget=(by_size,))  # type: ignore[arg-type]
    greedy = dataclasses.replace(run.result, method="greedy")
    for other in (
        front,
        dataclasses.replace(run, result=weighed),
        dataclasses.replace(run, result=greedy),
    ):
        assert len(passes_of(other)) == 3


def test_a_run_named_twice_is_shown_once(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(finished_run)
    runs = [str(finished_run), f"{finished_run}/../one", str(tmp_path / "link")]
    assert report([*runs, "--output", str(tmp_path / "page.html")]) == 0
    html = (tmp_path / "page.html").read_text()
    assert "side by side" not in html
    assert "llama without 2 of its 5 blocks" in html


def test_one_unit_is_spoken_of_in_the_singular(finished_run: Path) -> None:
    run = load_run(finished_run)
    assert run.result is not None
    first, *_ = sentences(dataclasses.replace(run.result, dropped=("0",)), "gpt2")
    assert first.startswith("Without block 0, gpt2 has ")
    card = model_card(
        dataclasses.replace(run.result, dropped=("0",)),
        "seed: 0",
        base_model="gpt2",
        beside=BesideDecoder(),
    )
    assert "# gpt2 without 1 block\n" in card
    assert "the block 0 (counted from 0) was removed" in card
    assert "It was chosen by" in card


def test_a_page_without_heuristics_shows_the_runner_up_alone(finished_run: Path) -> None:
    run = load_run(finished_run)
    assert run.result is not None
    result = dataclasses.replace(run.result, heuristics=())
    html = page([dataclasses.replace(run, result=result)])
    (figure,) = re.findall(r'<figure id="rivals-0".*?</figure>', html, re.S)
    assert figure.count("<tr>") == 3
    assert "strip near ruled" not in html
    assert "best heuristic" not in re.findall(r'"name": "[^"]*"', html)
    alone = dataclasses.replace(result, runner_up=None)
    assert '<figure id="rivals-0"' not in page([dataclasses.replace(run, result=alone)])


@pytest.mark.parametrize("loss", [12.0, 800.0, math.inf])
def test_a_rule_that_is_far_worse_leaves_the_bars_their_scale(
    finished_run: Path, loss: float
) -> None:
    run = load_run(finished_run)
    assert run.result is not None
    far = PairedLoss(loss, None, None)
    rule = dataclasses.replace(
        run.result.heuristics[0], calibration=far, heldout=far, compensated=False
    )
    result = dataclasses.replace(run.result, heuristics=(rule,))
    html = page([dataclasses.replace(run, result=result)])
    (figure,) = re.findall(r'<figure id="perplexity".*?</figure>', html, re.S)
    assert "Off the scale, best heuristic" in figure
    assert '"name": "best heuristic"' not in figure


def test_every_figure_has_words_for_those_who_do_not_see_it_and_a_table(finished_run: Path) -> None:
    figures = re.findall(r"<figure .*?</figure>", (finished_run / "report.html").read_text(), re.S)
    assert len(figures) >= len(FIGURES)
    for figure in figures:
        (label,) = re.findall(r'class="picture"[^>]*aria-label="([^"]+)"', figure)
        assert len(label) > 60
        assert figure.count("<table>") == 1
        assert figure.count("<tr>") > 1


def test_a_page_that_cannot_be_drawn_takes_nothing_from_the_run(
    run_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evop_deap.runs.listeners.progress import Progress

    class Listener(Progress):
        said: list[str] = []  # noqa: RUF012

        def stage(self, text: str) -> None:
            self.said.append(text)

    monkeypatch.setattr(page_module, "load_run", lambda folder: 1 / 0)
    quick = {**run_settings, "generations": 0}
    run_search(SearchConfig(sparsity=0.4, **quick), tmp_path / "run", progress=Listener())
    assert (tmp_path / "run" / "result.json").exists()
    assert not (tmp_path / "run" / "report.html").exists()
    assert any("no report.html" in text and "division" in text for text in Listener.said)


def test_several_runs_stand_side_by_side_on_one_page(
    finished_run: Path, other_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "both.html"
    assert report([str(finished_run), str(other_run), "--output", str(output)]) == 0
    assert "offline" in capsys.readouterr().out
    html = output.read_text()
    assert "2 searches side by side" in html
    # Folders of one name are told apart by their paths, and the map of one text is drawn once.
    assert str(finished_run) in html
    assert str(other_run) in html
    assert '<figure id="curve"' in html
    assert html.count('<figure id="clusters-') == 1
    assert html.count('<figure id="drops-') == 2
    cells = re.findall(r"<tr><td>sparsity</td><td>([\d.]+)</td><td>([\d.]+)</td>", html)
    assert cells == [("0.4", "0.2")]
    assert html.index("<td>sparsity</td>") < html.index("<td>window</td>")


def test_a_run_that_goes_on_is_shown_as_far_as_it_is(finished_run: Path, tmp_path: Path) -> None:
    going = tmp_path / "going"
    shutil.copytree(finished_run, going, ignore=shutil.ignore_patterns("model", "re*"))
    history = going / "history.jsonl"
    history.write_text(history.read_text()[:-20])
    run = load_run(going)
    assert run.result is None
    html = page([run])
    assert "Searching llama" in html
    assert "Generation 1 of 2" in html
    assert '<figure id="drops-0"' in html
    assert '<figure id="perplexity"' not in html
    history.unlink()
    assert "first generation" in page([load_run(going)])


def test_history_of_a_run_that_counted_no_drops_is_shown_without_them(finished_run: Path) -> None:
    run = load_run(finished_run)
    rows = tuple({k: v for k, v in row.items() if k != "drops"} for row in run.rows)
    html = page([dataclasses.replace(run, rows=rows)])
    assert '<figure id="drops-0"' not in html
    assert '<figure id="course"' in html


@pytest.mark.parametrize("wanted", ["nowhere", "empty", "broken", "foreign"])
def test_what_is_no_run_is_refused_in_one_line(
    wanted: str, finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / wanted
    if wanted != "nowhere":
        place.mkdir()
    if wanted in ("broken", "foreign"):
        shutil.copy(finished_run / "config.yaml", place)
        (place / "result.json").write_text('{"model": 1}' if wanted == "foreign" else "{")
    assert report([str(place), "--output", str(tmp_path / "page.html")]) == 2
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1
    assert f"`run`{':' if wanted == 'broken' else ''} {place}" in err
    assert not (tmp_path / "page.html").exists()


def test_names_from_outside_cannot_become_markup(finished_run: Path) -> None:
    run = load_run(finished_run)
    evil = '</script><img src=x onerror="alert(1)">'
    assert run.result is not None
    result = dataclasses.replace(run.result, model=evil, stopped=evil)
    html = page([dataclasses.replace(run, result=result, settings={"model": evil})])
    assert "<img" not in html
    drawn = plot([{"name": evil, "x": [1], "y": [math.inf]}], {"height": 10})
    assert "<img" not in drawn
    assert '"y": [null]' in drawn


def test_a_strip_has_a_row_for_each_half() -> None:
    names = [f"{block}.{half}" for block in range(3) for half in ("attn", "mlp")]
    html = strip(names, ["1.mlp", "2.attn"], "found")
    assert html.count('class="cells"') == 2
    assert html.count('class="gone"') == 2
    assert "MLP of block 1: dropped" in html
    assert "attention of block 1: kept" in html
    assert strip(["0", "1"], ["1"], "found").count('class="cells"') == 1


def test_halves_are_drawn_on_the_whole_page(finished_run: Path) -> None:
    run = load_run(finished_run)
    assert run.result is not None
    count = run.result.n_blocks
    units = [f"{block}.{half}" for block in range(count) for half in ("attn", "mlp")]
    drops = {unit: place % 3 for place, unit in enumerate(units)}
    result = dataclasses.replace(
        run.result,
        units=tuple({"name": unit, "parameters": 1, "work": 1} for unit in units),
        dropped=("0.mlp", "1.attn"),
        finalists=(),
        heuristics=(),
        surrogate=None,
    )
    rows = tuple({**row, "drops": drops} for row in run.rows)
    html = page([dataclasses.replace(run, result=result, rows=rows)])
    assert f"without 2 of its {2 * count} halves" in html
    assert html.count('<div class="cells"') == 2


def test_the_command_repeats_the_run(finished_run: Path, run_settings: dict[str, Any]) -> None:
    from evop_deap.search import _parser

    words = command_of(load_run(finished_run)).split()
    given = vars(_parser().parse_args(words[3:]))
    config = SearchConfig(
        **{k: v for k, v in given.items() if k in SearchConfig.__dataclass_fields__}
    )
    assert config == SearchConfig(sparsity=0.4, dtype="float32", **run_settings)


def test_the_command_of_a_front_has_all_its_points() -> None:
    settings = SearchConfig(model="demo", sparsity=(0.1, 0.2), pareto="parameters")
    words = command_of(Run(Path("run"), settings.as_dict(), (), None, None)).split()
    assert words[words.index("--sparsity") + 1] == "0.1,0.2"
    assert "0.2" not in words


def test_the_command_of_a_run_by_budget_has_no_share() -> None:
    settings = SearchConfig(model="demo", budget="parameters=0.2")
    words = command_of(Run(Path("run"), settings.as_dict(), (), None, None)).split()
    assert words[-4:] == ["--model", "demo", "--budget", "parameters=0.2"]


def test_the_command_switches_off_what_a_run_has_switched_off() -> None:
    settings = SearchConfig(model="m", sparsity=0.4, generations=None, stop_when_sure=None)
    words = command_of(Run(Path("run"), settings.as_dict(), (), None, None))
    assert " --generations off" in words
    assert " --stop-when-sure off" in words


def test_numbers_in_a_table_are_kept_for_sorting() -> None:
    html = Table(("a", Column("b", lambda v: f"{v:.0%}")), [("x", 0.25), (None, 3)]).html("t")
    assert '<td class="number" data-sort="0.25">25%</td>' in html
    assert '<td class="number">\N{EN DASH}</td>' in html


@pytest.mark.parametrize(("low", "high"), [(28, 51), (1, 1e6), (0.4, 3.1), (99, 103), (5, 5)])
def test_a_logarithmic_axis_has_a_few_round_numbers_within_it(low: float, high: float) -> None:
    ticks = round_numbers(low, high)
    assert len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_the_script_that_draws_is_the_published_one() -> None:
    assets = Path(page_module.__file__).parent / "assets"
    assert sha256_of_file(assets / "plotly-cartesian.min.js") == PLOTLY
    assert "MIT" in (assets / "plotly-cartesian.LICENSE").read_text()


# plotly.js-cartesian-dist-min 4.1.1, as npm has it
PLOTLY = "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"


class Opened:
    """A page and everything that it complained of or asked for."""

    def __init__(self, chromium: Any, url: str, **options: Any) -> None:
        self.page = chromium.new_page(**options)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)
        self.page.wait_for_selector("html[data-drawn]", state="attached", timeout=60_000)


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("several", [False, True])
def test_a_page_opens_offline_draws_its_figures_and_fits(
    chromium: Any, finished_run: Path, other_run: Path, tmp_path: Path, width: int, several: bool
) -> None:
    path = finished_run / "report.html"
    if several:
        path = tmp_path / "both.html"
        report([str(finished_run), str(other_run), "--output", str(path)])
    opened = Opened(chromium, path.as_uri(), viewport={"width": width, "height": 900})
    asked = [url for url in opened.requests if not url.startswith("data:")]
    assert (opened.complaints, asked) == ([], [path.as_uri()])
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    drawn = opened.page.evaluate(
        "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll("
        "'.trace, .heatmaplayer image, .point').length)"
    )
    assert len(drawn) >= 5
    assert min(drawn) > 0
    # Tables unfold within the page, too.
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_the_systems_until_the_switch_is_used(
    chromium: Any, finished_run: Path, scheme: str
) -> None:
    opened = Opened(chromium, (finished_run / "report.html").as_uri(), color_scheme=scheme)
    look = (
        "() => [getComputedStyle(document.body).backgroundColor,"
        " document.querySelector('#course .xtitle').style.fill]"
    )
    before = opened.page.evaluate(look)
    assert (sum(map(int, re.findall(r"\d+", before[0]))) > 380) == (scheme == "light")
    switch = opened.page.locator("#theme")
    assert switch.get_attribute("aria-pressed") == str(scheme == "dark").lower()
    switch.focus()
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_function(f"({look})()[1] !== {json.dumps(before[1])}")
    after = opened.page.evaluate(look)
    assert after[0] != before[0]
    assert switch.get_attribute("aria-pressed") == str(scheme == "light").lower()
    assert opened.complaints == []
    opened.page.close()


def test_tables_sort_by_number_and_back_by_keyboard(chromium: Any, finished_run: Path) -> None:
    opened = Opened(chromium, (finished_run / "report.html").as_uri())
    page = opened.page
    page.locator("#course summary").focus()
    page.keyboard.press("Enter")
    heading = page.locator("#course thead button", has_text="best")
    values = "[...document.querySelectorAll('#course tbody tr')].map(r => +r.cells[4].dataset.sort)"
    heading.focus()
    page.keyboard.press("Enter")
    up = page.evaluate(values)
    assert up == sorted(up)
    assert page.locator("#course th[aria-sort=ascending]").count() == 1
    page.keyboard.press("Enter")
    assert page.evaluate(values) == sorted(up, reverse=True)
    page.close()


def test_arrow_keys_read_the_figures_out(chromium: Any, finished_run: Path) -> None:
    opened = Opened(chromium, (finished_run / "report.html").as_uri())
    page, run = opened.page, load_run(finished_run)
    assert run.result is not None
    page.locator("#pattern .picture").focus()
    page.keyboard.press("ArrowRight")
    said = page.locator("#pattern .readout")
    state = "dropped" if "0" in run.result.dropped else "kept"
    assert said.text_content() == f"found, block 0: {state}"
    page.locator("#drops-0 .picture").focus()
    page.keyboard.press("ArrowRight")
    count = run.rows[0]["drops"]["0"]
    assert page.locator("#drops-0 .readout").text_content() == (
        f"0, 0: {count} survivors that drop it"
    )
    page.locator("#course .picture").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#course .readout").text_content().startswith("best: 3, ")
    assert opened.complaints == []
    page.close()


def test_the_course_is_drawn_against_cost_when_asked(chromium: Any, finished_run: Path) -> None:
    opened = Opened(chromium, (finished_run / "report.html").as_uri())
    page, run = opened.page, load_run(finished_run)
    page.locator("#course .choices label", has_text="passes").click()
    page.wait_for_function(
        "document.querySelector('#course .xtitle').textContent === 'dense forward passes'"
    )
    drawn = page.evaluate("Array.from(document.querySelector('#course .plot').data[1].x)")
    assert drawn == [row["cost"] for row in run.rows]
    page.close()
