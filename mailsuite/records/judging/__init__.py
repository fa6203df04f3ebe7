"""Verdicts on what DNS says, each with one sentence that tells what to do. One module for each kind of record."""

from mailsuite.records.judging.judge import judge_all

__all__ = ["judge_all"]
