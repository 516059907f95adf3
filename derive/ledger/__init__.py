"""Derivations that are checked step by step: rules, proofs, ball arithmetic, verdicts."""

from derive.ledger.derivation import Derivation, Ledger, check_many
from derive.ledger.rules import RULES, Rule

__all__ = ["RULES", "Derivation", "Ledger", "Rule", "check_many"]
