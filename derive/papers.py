"""The papers that the project stands on, by the keys under which steps cite them."""

from types import MappingProxyType

__all__ = ["PAPERS"]

PAPERS = MappingProxyType(
    {
        "A1": "The capacity of modern Hopfield networks under the data manifold hypothesis, arXiv:2503.09518",
        "A2": "Memorization and generalization in generative diffusion under the manifold hypothesis, arXiv:2502.09578",
        "A3": "Losing dimensions: geometric memorization in generative diffusion, arXiv:2410.08727",
        "A4": "Manifolds, random matrices and spectral gaps: the geometric phases of generative diffusion, "
        "arXiv:2410.05898",
        "B1": "The exponential capacity of dense associative memories, arXiv:2304.14964",
        "B2": "Dynamical regimes of diffusion models, arXiv:2402.18491",
    }
)
