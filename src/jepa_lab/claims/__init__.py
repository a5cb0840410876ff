"""Claims: conclusions in YAML that fixed rules judge from finished runs. See docs/claims.md."""

from jepa_lab.claims.claim import Claim
from jepa_lab.claims.judge import WORDS
from jepa_lab.claims.reading import read_claims
from jepa_lab.claims.verdicts import Judgement, judge_claims

__all__ = ["WORDS", "Claim", "Judgement", "judge_claims", "read_claims"]
