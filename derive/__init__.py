"""Checked derivations, limits and solvers for replica and random-energy-model calculations."""
