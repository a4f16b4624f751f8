r"""The linear-quadratic formulas, for whole courses of equal fractions.

With :math:`A = \sum_j w_j \alpha_j D_j` and :math:`B = \sum_j w_j \sqrt{\beta_j} D_j` of the whole
course and n fractions, each fraction has the effect :math:`A/n + (B/n)^2`, the course n times that.
"""

from __future__ import annotations

import numpy as np

from dosegrad.arrays import Array

__all__ = ["effect", "rbe_weighted_dose"]


def effect(alpha_dose: Array, sqrt_beta_dose: Array, fractions: int) -> Array:
    r"""Effect of the whole course, :math:`A + B^2 / n`.

    Parameters
    ----------
    alpha_dose, sqrt_beta_dose
        A and B, any shape.
    fractions
        n.

    Examples
    --------
    Thirty fractions of 2 Gy of photons in a tissue of alpha 0.1/Gy and beta 0.05/Gy2:

    >>> round(float(effect(0.1 * 60.0, 0.05**0.5 * 60.0, 30)), 6)
    12.0
    """
    return np.asarray(alpha_dose + sqrt_beta_dose**2 / fractions)


def rbe_weighted_dose(
    effects: Array, alpha: Array, beta: Array, fractions: int
) -> tuple[Array, Array]:
    r"""Dose of photons, Gy (RBE), that has the same effect in as many fractions, and its slope.

    .. math:: D = n\,\frac{-\alpha_x + \sqrt{\alpha_x^2 + 4 \beta_x e}}{2 \beta_x}, \qquad
       \frac{\partial D}{\partial E} = \frac{1}{\sqrt{\alpha_x^2 + 4 \beta_x e}}
       = \frac{1}{2 \beta_x \left(D/n + \alpha_x / 2 \beta_x\right)}

    with the effect of one fraction e = E/n. The first is computed as
    :math:`2E / (\alpha_x + \sqrt{\cdot})`, which loses no digits at low doses.

    Parameters
    ----------
    effects
        E of the whole course, any shape.
    alpha, beta
        Of photons, 1/Gy and 1/Gy2, in the same shape.
    fractions
        n.

    Returns
    -------
        D, Gy (RBE) for the whole course, and its derivative by E, Gy.

    Examples
    --------
    >>> import numpy as np
    >>> dose, _ = rbe_weighted_dose(np.array(12.0), np.array(0.1), np.array(0.05), 30)
    >>> round(float(dose), 9)
    60.0
    """
    root = np.sqrt(alpha**2 + 4.0 * beta * effects / fractions)
    return 2.0 * effects / (alpha + root), 1.0 / root
