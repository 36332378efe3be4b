"""Where programs run."""

import jax


def platform() -> str:
    """`cpu` or `gpu`: that of the default device, where one was chosen, else that of the best device JAX finds."""
    chosen = jax.config.jax_default_device
    return jax.default_backend() if chosen is None else getattr(chosen, "platform", str(chosen))
