r"""An ion beam in water, straight ahead: primaries, two generations of fragments, and neutrals.

Primaries lose energy along the depth; how many are left follows from their reaction rate, and the
spread of their range (straggling, energy spread, ripple filter) is a Gaussian of that range.
Fragments are marched on a grid of residual range, one for each species, in steps of the grid's
own spacing, so that slowing down is an exact shift. In each step the primaries' reactions feed
every lighter species, and those feed each other. With each cell go moments of angle and place, so
that fragments spread by the angle at which they are born, by their flight and by multiple
scattering.

What leaves in a reaction adds up to the projectile's energy: fragments at its speed, protons and
neutrons slower by what binding and the struck nucleus take, that nucleus's share on the spot, and
neutrals, whose energy leaves the beam.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dosegrad.arrays import Array
from dosegrad.commissioning.ion_scores import N_FIXED_SCORES, Species, local_scores
from dosegrad.physics.ion_reactions import (
    BINDING_PER_REACTION,
    angular_variance,
    fragment_yields,
    local_energy,
    momentum_spread,
    reaction_rate,
)
from dosegrad.physics.ions import (
    IONS,
    NUCLEON_MASS,
    Ion,
    energy_of_ion_range,
    ion_range,
    momentum_per_nucleon,
)

__all__ = ["FragmentField", "march_fragments", "survival"]

#: Nodes, in standard deviations, and weights of the Gaussian spread of a fragment's momentum: so
#: many that fragments of one node do not show as a peak of their own.
_NODES: Final = np.linspace(-3.0, 3.0, 41)
_WEIGHTS: Final = np.exp(-0.5 * _NODES**2) / np.exp(-0.5 * _NODES**2).sum()
_SLOWEST_SHARE: Final = 0.2  # of the projectile's speed, below which no fragment is put
_FASTEST: Final = 1.7  # times the beam's energy, where grids of residual range end


@dataclass(frozen=True, slots=True, eq=False)
class FragmentField:
    """What fragments do at each depth step.

    Parameters
    ----------
    depths
        Edges of the steps, mm, (n + 1,).
    scores
        Per mm of depth and primary (n, scores): energy, MeV, and its products with LET and with
        specific energies, of fragments in flight.
    local
        The same for what struck nuclei leave on the spot.
    variances
        Lateral variance of the fragments' dose, mm2, (n,).
    charged, neutral
        Energy per primary, MeV, of fragments still flying behind the last depth, and of neutrals.
    numbers
        Fragments per primary at each step by charge, (n, 7).
    """

    depths: Array
    scores: Array
    local: Array
    variances: Array
    charged: float
    neutral: float
    numbers: Array


def survival(depths: Array, energy: float, ion: Ion) -> Array:
    """Share of primaries that have not reacted at ``depths``, mm, same shape."""
    full = float(ion_range(energy, ion))
    fine = np.linspace(0.0, full, 2001)
    rate = reaction_rate(np.maximum(energy_of_ion_range(full - fine, ion), 1e-3), ion)
    passed = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(fine))])
    return np.asarray(np.exp(-np.interp(depths, fine, passed)))


def march_fragments(
    energy: float, ion: Ion, *, step: float, depth: float, moments: Array, betas: Sequence[float]
) -> FragmentField:
    """Fragments of a beam of ``energy`` MeV/u that all has the same range.

    Parameters
    ----------
    energy, ion
        The beam.
    step
        Of depth and residual range, mm.
    depth
        Where the march ends, mm.
    moments
        Of the primaries at the edges of the steps (n + 1, 3): variance, mm2, covariance, mm, and
        angular variance.
    betas
        Tissues' beta, 1/Gy2, whose specific energies are scored.
    """
    n = int(np.ceil(depth / step))
    highest = min(_FASTEST * energy, 690.0)
    species = {
        name: Species.of(IONS[name], highest, step, betas)
        for name in sorted(_descendants(ion.name), key=lambda k: -IONS[k].nucleons)
    }
    transfers = _transfers(species)
    edges = np.linspace(0.0, n * step, n + 1)
    alive = survival(edges, energy, ion)
    at = energy_of_ion_range(float(ion_range(energy, ion)) - edges - 0.5 * step, ion)
    fields = {name: np.zeros((4, s.energies.size)) for name, s in species.items()}
    scores, local = np.zeros((2, n, N_FIXED_SCORES + len(betas)))
    spread, numbers = np.zeros(n), np.zeros((n, 7))
    neutral = 0.0
    for i in range(n):
        for name, one in species.items():
            field = fields[name]
            numbers[i, one.ion.charge] += field[0].sum()
            scores[i] += one.scores @ field[0]
            spread[i] += one.scores[0] @ field[3]
            _fly(field, one.scattering, step)
        reacted, lost = _react(fields, species, transfers, step)
        neutral += lost
        if at[i] > 0 and alive[i] > alive[i + 1]:
            born, left = _births(at[i], ion, species, moments[i], fields, alive[i] - alive[i + 1])
            reacted, neutral = reacted + born, neutral + left
        local[i] = local_scores(reacted, betas)
    flying = sum(float(s.kinetic @ fields[name][0]) for name, s in species.items())
    return FragmentField(
        depths=edges,
        scores=scores / step,
        local=local / step,
        variances=spread / np.maximum(scores[:, 0], 1e-300),
        charged=flying,
        neutral=neutral,
        numbers=numbers,
    )


def _descendants(name: str) -> set[str]:
    """Names of all species that the fragments of a projectile may turn into."""
    found: set[str] = set()
    for child in fragment_yields(name):
        if child != name:
            found |= {child} | _descendants(child)
    return found


def _fly(field: Array, scattering: Array, step: float) -> None:
    """Move all cells of a field (4, n) by one step: number, q, c and v sums, in place."""
    number, angular, mixed, lateral = field
    gained = number * scattering
    lateral += 2.0 * mixed * step + angular * step**2 + gained * step**3 / 3.0
    mixed += angular * step + 0.5 * gained * step**2
    angular += gained * step
    field[:, :-1] = field[:, 1:]
    field[:, -1] = 0.0


def _transfers(species: Mapping[str, Species]) -> dict[str, list[tuple[str, csr_array, Array]]]:
    """For each species its lighter ones: matrix from cells to cells, and birth angles there."""
    found = {}
    for name, parent in species.items():
        found[name] = [
            (
                child,
                yield_ * _cells(parent.energies, species[child]),
                angular_variance(parent.energies, species[child].ion, parent.ion),
            )
            for child, yield_ in fragment_yields(name).items()
        ]
    return found


def _cells(energies: Array, child: Species) -> csr_array:
    """Matrix (child's cells, n) that puts particles of these energies at their residual range."""
    place = np.clip(child.place(energies), 0.0, child.energies.size - 1.001)
    low = place.astype(np.int64)
    share = place - low
    columns = np.arange(energies.size)
    return csr_array(
        (np.concatenate([1.0 - share, share]), (np.r_[low, low + 1], np.r_[columns, columns])),
        shape=(child.energies.size, energies.size),
    )


def _react(
    fields: Mapping[str, Array],
    species: Mapping[str, Species],
    transfers: Mapping[str, list[tuple[str, csr_array, Array]]],
    step: float,
) -> tuple[float, float]:
    """Let fragments react in one step, in place: energy left on the spot, and of neutrals, MeV."""
    local = neutral = 0.0
    for name, one in species.items():
        lost = fields[name] * (one.rate * step)
        energy = float(one.kinetic @ lost[0])
        if energy == 0.0:
            continue
        fields[name] -= lost
        passed_on = 0.0
        for child, matrix, angles in transfers[name]:
            born = lost.copy()
            born[1] += angles * lost[0]
            new = (matrix @ born.T).T
            fields[child] += new
            passed_on += float(species[child].kinetic @ new[0])
        share = min(float(local_energy(one.energies, one.ion) @ lost[0]), energy - passed_on)
        local += share
        neutral += energy - passed_on - share
    return local, neutral


def _births(
    energy: float,
    ion: Ion,
    species: Mapping[str, Species],
    moments: NDArray[np.float64],
    fields: Mapping[str, Array],
    reactions: float,
) -> tuple[float, float]:
    """Fragments of ``reactions`` primaries of ``energy`` MeV/u, put in place.

    Returns the energy left on the spot and that of neutrals, MeV.
    """
    total = ion.nucleons * energy
    yields = fragment_yields(ion.name)
    slowed = _nucleon_slowing(energy, ion, yields)
    passed_on = 0.0
    for name, mean in yields.items():
        child = species[name]
        nominal = energy * (slowed if child.ion.nucleons == 1 else 1.0)
        energies = _spread_energies(nominal, child.ion, ion)
        born = _cells(energies, child) @ (mean * reactions * _WEIGHTS)
        angle = float(angular_variance(nominal, child.ion, ion))
        variance, covariance, angular = moments
        fields[name][:] += np.outer([1.0, angular + angle, covariance, variance], born)
        passed_on += float(child.kinetic @ born)
    available = total * reactions - passed_on
    local = min(float(local_energy(energy, ion)) * reactions, available)
    return local, available - local


def _nucleon_slowing(energy: float, ion: Ion, yields: Mapping[str, float]) -> float:
    """Energy of free nucleons over the projectile's per nucleon, so that the balance closes."""
    bound = sum(n * IONS[k].nucleons for k, n in yields.items() if k != "1H")
    taken = float(local_energy(energy, ion)) + BINDING_PER_REACTION
    budget = (ion.nucleons - bound) * energy - taken
    share = budget / ((ion.nucleons - bound) * energy)
    return float(np.clip(share, _SLOWEST_SHARE, 1.0))


def _spread_energies(energy: float, fragment: Ion, projectile: Ion) -> Array:
    """Energies (n,), MeV/u, of the nodes of a fragment's momentum; their mean is ``energy``."""
    mean = momentum_per_nucleon(energy)
    shift = _NODES * momentum_spread(fragment, projectile) / fragment.nucleons
    momentum = np.maximum(mean + shift, _SLOWEST_SHARE * mean)
    energies = np.sqrt(momentum**2 + NUCLEON_MASS**2) - NUCLEON_MASS
    return np.asarray(energies * (energy / (_WEIGHTS @ energies)))
