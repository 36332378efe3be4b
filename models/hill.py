"""Hill functions with whole exponents, and the logistic function: smooth at zero and slightly below."""

from jax.nn import sigmoid as sigmoid
from jaxtyping import Array, Float

type Scalar = Float[Array, ""]


def H1(x: Scalar, k: Scalar) -> Scalar:
    """$x/(k+x)$."""
    return x / (k + x)


def H2(x: Scalar, k: Scalar) -> Scalar:
    """$x^2/(k^2+x^2)$."""
    return x**2 / (k**2 + x**2)


def H3(x: Scalar, k: Scalar) -> Scalar:
    """$x^3/(k^3+x^3)$."""
    return x**3 / (k**3 + x**3)
