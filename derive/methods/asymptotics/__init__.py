"""Asymptotics of expressions and of implicit roots, by transseries: see derive.methods.scaling for the entrance."""
