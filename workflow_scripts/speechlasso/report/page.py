"""The report: one self-contained page that says whether speech helped, how sure that is, why, and
at what cost; and its figures as files."""

from __future__ import annotations

from dataclasses import dataclass

from speechlasso.blocks import figures_in
from speechlasso.evaluation.words import counted
from speechlasso.pages import render_page
from speechlasso.report.background import background_sections
from speechlasso.report.compared import compared_section
from speechlasso.report.curves import curve_sections
from speechlasso.report.evidence import Evidence
from speechlasso.report.scores import score_sections
from speechlasso.report.why import why_sections


@dataclass(frozen=True)
class Report:
    """The page, and its figures with their data by the names of their files."""

    html: str
    figures: dict[str, str]


def render_report(evidence: Evidence) -> Report:
    """What stands nowhere in the evidence has no section."""
    verdict, *scores = score_sections(evidence)
    sections = [
        verdict,
        compared_section(evidence),
        *scores,
        *why_sections(evidence),
        *curve_sections(evidence),
        *background_sections(evidence),
    ]
    sections = [section for section in sections if section.blocks]
    files: dict[str, str] = {}
    for figure in figures_in(sections):
        files |= figure.files()
    return Report(render_page(evidence.experiment, sections, about=_about(evidence)), files)


def _about(evidence: Evidence) -> str:
    numbers = [
        (len(evidence.results), "run"),
        (len(evidence.by_arm), "arm"),
        (evidence.runs["fold"].nunique(), "fold"),
        (evidence.runs["seed"].nunique(), "seed"),
    ]
    runs, *others = (counted(n, what) for n, what in numbers)
    return f"{runs}: {', '.join(others)}"
