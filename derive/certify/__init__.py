"""Numbers that are proven by ball arithmetic: a threshold at one point, or what is read off a spectrum.

All balls are those of python-flint (Johansson 2017).
"""

from derive.certify.certificate import MAX_DIGITS, Certificate
from derive.certify.points import average_depth, certify
from derive.certify.spectra import SpectrumCertificate, certify_spectrum

__all__ = ["MAX_DIGITS", "Certificate", "SpectrumCertificate", "average_depth", "certify", "certify_spectrum"]
