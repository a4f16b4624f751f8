r"""Proton transport on an energy grid: spectra, energy lost, scattering and LET along beamlets.

Solves the Fokker-Planck equation

.. math:: \frac{\partial\varphi}{\partial z} = \frac{\partial (S\varphi)}{\partial E}
          + \frac12 \frac{\partial^2 (T\varphi)}{\partial E^2} - \Sigma_a \varphi

along each beamlet by a discontinuous Galerkin method in energy and SDIRK in depth. The operator of
a material per mass depth is made once; density only scales the step. A window of groups follows
the beam. The energy lost in a step is the drop of :math:`\int E \varphi\,dE`, so that energy is
conserved to round-off. Every march has its discrete adjoint, which sees the same windows.

Source: Burlacu, Lathouwers and Perkó [Burlacu2024]_.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.engines.yoda import _energy_grid_operators as operators_of
from dosegrad.engines.yoda._energy_grid_arrays import Operators, Paths, Record
from dosegrad.engines.yoda._energy_grid_operators import Mesh
from dosegrad.engines.yoda._energy_grid_values import BeamletPaths, GridAdjoint, Transport
from dosegrad.errors import EnergyError, GeometryError, SettingsError
from dosegrad.physics.materials import Material
from dosegrad.physics.scattering import ScatteringModel
from dosegrad.physics.stopping import HIGHEST_ENERGY, WATER_I_VALUE, mass_stopping_power
from dosegrad.units import CM_PER_MM

__all__ = ["BeamletPaths", "EnergyGrid", "GridAdjoint", "PreparedGrid", "Transport"]

_STD_ABOVE = 6.0  # standard deviations between the mean energy and the top of the grid


@dataclass(frozen=True, slots=True)
class EnergyGrid:
    """Settings of the energy-grid solver.

    Parameters
    ----------
    groups_per_std
        Groups per standard deviation of the incident energy; 4/3 keeps the error of the depth
        dose below 0.5 % of its peak.
    loss_per_std
        Longest depth step, as the incident beam's energy loss over its standard deviation; at
        most 0.18 for the same error.
    window
        Share of the protons below which a group counts as empty; 0 marches on the full grid.
    margin
        Further groups on both sides of the window. The adjoint is 0 outside, so finite changes
        of steps need as many groups as they move the beam by; 0 is enough for all else.
    lowest
        Lower end of the grid, MeV; protons below stop where they are.
    penalty
        Of the interior penalty method; at least 3.
    scattering
        Model of :func:`dosegrad.physics.scattering.mass_scattering_power`.
    nuclear
        Whether nuclei absorb protons.
    water_i_value
        Mean excitation energy of water, eV.

    Raises
    ------
    SettingsError
        If a number is out of these bounds.
    """

    groups_per_std: float = 4.0 / 3.0
    loss_per_std: float = 0.16
    window: float = 1e-6
    margin: int = 0
    lowest: float = 1.0
    penalty: float = 6.0
    scattering: ScatteringModel = "differential-moliere"
    nuclear: bool = True
    water_i_value: float = WATER_I_VALUE

    def __post_init__(self) -> None:
        positive = min(self.groups_per_std, self.loss_per_std, self.lowest) > 0
        if not (positive and self.penalty >= 3.0 and 0 <= self.window < 1e-2 and self.margin >= 0):
            raise SettingsError(
                f"{self!r} is not solvable; groups_per_std, loss_per_std and lowest must be "
                f"positive, penalty at least 3, window from 0 to 0.01, margin not negative."
            )

    def prepare(
        self, materials: Sequence[Material], *, energy: ArrayLike, energy_std: ArrayLike
    ) -> PreparedGrid:
        """Operators of ``materials`` for beams of these energies.

        Parameters
        ----------
        materials
            In the order in which paths count them.
        energy
            Mean energy of each beam quality, MeV, a number or (families,).
        energy_std
            Standard deviation of each, MeV, likewise; above 0.

        Raises
        ------
        EnergyError
            If an energy, with six standard deviations, leaves the tables or the grid.
        """
        means, stds = np.broadcast_arrays(
            np.atleast_1d(np.asarray(energy, float)), np.atleast_1d(np.asarray(energy_std, float))
        )
        top = means + _STD_ABOVE * stds
        if not ((stds > 0) & (means - 2 * stds > self.lowest) & (top < HIGHEST_ENERGY)).all():
            raise EnergyError(
                f"beams of {means} MeV with standard deviations {stds} MeV do not fit between "
                f"{self.lowest:g} and {HIGHEST_ENERGY:g} MeV; give spreads above 0 and energies "
                f"within."
            )
        width = float(stds.min()) / self.groups_per_std
        count = int(np.ceil((float(top.max()) - self.lowest) / width))
        mesh = Mesh(self.lowest, width, count)
        return PreparedGrid(
            settings=self,
            materials=tuple(materials),
            energy=means,
            energy_std=stds,
            mesh=mesh,
            operators=self._operators(mesh, materials, means, stds),
        )

    def _operators(
        self, mesh: Mesh, materials: Sequence[Material], energy: Array, energy_std: Array
    ) -> Operators:
        i_value = self.water_i_value
        blocks = [
            operators_of.blocks(
                mesh, m, nuclear=self.nuclear, penalty=self.penalty, water_i_value=i_value
            )
            for m in materials
        ]
        absorbed = [
            operators_of.absorbed_energy_row(mesh, m, nuclear=self.nuclear) for m in materials
        ]
        scattering = [
            [operators_of.scattering_row(mesh, m, float(e), self.scattering) for m in materials]
            for e in energy
        ]
        stopping = [mass_stopping_power(energy, m, water_i_value=i_value) for m in materials]
        return Operators(
            blocks=np.ascontiguousarray(blocks),
            rows=operators_of.moment_rows(mesh, i_value),
            absorbed=np.ascontiguousarray(absorbed),
            scattering=np.ascontiguousarray(scattering),
            ranges=np.stack([operators_of.edge_ranges(mesh, m, i_value) for m in materials]),
            longest=np.ascontiguousarray((self.loss_per_std * energy_std / np.stack(stopping)).T),
            occupied=self.window / mesh.width,
            margin=self.margin,
        )


@dataclass(frozen=True, slots=True, eq=False)
class PreparedGrid:
    """Operators of some materials for some beam qualities, ready to march."""

    settings: EnergyGrid
    materials: tuple[Material, ...]
    energy: Array
    energy_std: Array
    mesh: Mesh
    operators: Operators

    def initial_states(self) -> Array:
        """Coefficients of one proton of each beam quality, shape (families, groups, 3)."""
        pairs = zip(self.energy, self.energy_std, strict=True)
        return np.stack([self.mesh.project(float(e), float(s)) for e, s in pairs])

    def solve(self, paths: BeamletPaths, *, keep_states: bool = False) -> Transport:
        """Transport of all beamlets along ``paths``; spectra at all edges kept if asked for.

        Raises
        ------
        GeometryError
            If a path names a material or a beam quality that is not there.
        """
        arrays = self._arrays(paths)
        shape = paths.depth.shape
        kept = shape[1] + 1 if keep_states else 1
        states = np.zeros((shape[0], kept, self.mesh.n_groups, 3))
        states[:, 0] = self.initial_states()[arrays.family]
        return Transport(paths, self._march(arrays, states))

    def pull_back(
        self,
        transport: Transport,
        *,
        energy_lost: Array | None = None,
        energy_absorbed: Array | None = None,
        scattering_power: Array | None = None,
    ) -> GridAdjoint:
        """Gradient by the paths from that by the outputs, each (beamlets, steps) or absent for 0.

        Raises
        ------
        SettingsError
            If ``transport`` was solved without its states.
        """
        from dosegrad.engines.yoda._energy_grid_kernels import pull_back

        paths, record = transport.paths, transport.record
        shape = paths.depth.shape
        if record.states.shape[1] != shape[1] + 1:
            raise SettingsError(
                f"the transport keeps {record.states.shape[1]} spectra per beamlet, and its "
                f"adjoint needs {shape[1] + 1}; solve with keep_states=True."
            )
        given = (energy_lost, energy_absorbed, scattering_power)
        gradients = np.stack([np.zeros(shape) if g is None else g for g in given])
        per_mass = gradients.copy()
        per_mass[2] *= paths.density * CM_PER_MM
        states, by_depth = np.zeros_like(record.states), np.zeros(shape)
        pull_back(self.operators, self._arrays(paths), record, per_mass, states, by_depth)
        slopes = self._initial_slopes()[:, self._arrays(paths).family]
        by_energy, by_std = np.einsum("bgi,sbgi->sb", states[:, 0], slopes)
        return GridAdjoint(
            states=states,
            by_density=(by_depth * paths.length + gradients[2] * record.scattering) * CM_PER_MM,
            by_length=by_depth * paths.density * CM_PER_MM,
            by_energy=by_energy,
            by_energy_std=by_std,
            gradients=gradients,
        )

    def step_changes(
        self, transport: Transport, adjoint: GridAdjoint, changed: BeamletPaths
    ) -> Array:
        r"""Change of the response by finite changes of single steps, shape (beamlets, steps).

        .. math:: \lambda_{k+1} \cdot (R'_k - R_k) \varphi_k

        and what the changed step itself puts out: exact for one changed step, first order in the
        coupling of several. ``changed`` has the beamlets and steps of ``transport``.
        """
        old, n_groups = transport.record, self.mesh.n_groups
        n_beamlets, n_steps = transport.paths.depth.shape
        single = BeamletPaths(
            changed.material.reshape(-1, 1),
            changed.density.reshape(-1, 1),
            changed.length.reshape(-1, 1),
            family=np.repeat(np.asarray(changed.family), n_steps),
        )
        before = old.states[:, :-1].reshape(-1, 1, n_groups, 3).copy()
        new = self._march(self._arrays(single), before)
        after = new.states[:, -1].reshape(n_beamlets, n_steps, n_groups, 3)
        change = np.einsum("bkgi,bkgi->bk", adjoint.states[:, 1:], after - old.states[:, 1:])
        lost, absorbed, power = adjoint.gradients
        change += lost * (new.lost.reshape(lost.shape) - old.lost)
        change += absorbed * (new.absorbed.reshape(lost.shape) - old.absorbed)
        scattering = new.scattering.reshape(lost.shape) * changed.density
        change += power * CM_PER_MM * (scattering - old.scattering * transport.paths.density)
        return np.asarray(change)

    def _march(self, arrays: Paths, states: Array) -> Record:
        from dosegrad.engines.yoda._energy_grid_kernels import march

        shape = arrays.depth.shape
        record = Record(
            lost=np.zeros(shape),
            absorbed=np.zeros(shape),
            scattering=np.zeros(shape),
            let=np.zeros(shape),
            number=np.zeros((shape[0], shape[1] + 1)),
            windows=np.zeros((*shape, 2), dtype=np.int32),
            states=states,
        )
        march(self.operators, arrays, record)
        return record

    def _arrays(self, paths: BeamletPaths) -> Paths:
        family = np.asarray(paths.family)
        for name, index, known in (
            ("material", paths.material, len(self.materials)),
            ("family", family, len(self.energy)),
        ):
            if index.size and not 0 <= index.min() <= index.max() < known:
                raise GeometryError(
                    f"{name} indices of the paths run from {index.min()} to {index.max()}, and "
                    f"the grid was prepared for {known}; prepare it for all of them."
                )
        return Paths(family, paths.material, paths.depth)

    def _initial_slopes(self) -> Array:
        """Derivatives of the initial states by mean energy and spread (2, families, groups, 3)."""
        slopes = np.zeros((2, len(self.energy), self.mesh.n_groups, 3))
        for f, (mean, std) in enumerate(zip(self.energy, self.energy_std, strict=True)):
            d = 1e-4 * float(std)
            for p, (by_mean, by_std) in enumerate(((d, 0.0), (0.0, d))):
                above = self.mesh.project(mean + by_mean, std + by_std)
                below = self.mesh.project(mean - by_mean, std - by_std)
                slopes[p, f] = (above - below) / (2.0 * d)
        return slopes
