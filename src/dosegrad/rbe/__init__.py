"""Biology: how much more than photons a dose of particles does to a tissue."""

from dosegrad.rbe.carabe import Carabe
from dosegrad.rbe.constant import ConstantRBE
from dosegrad.rbe.linear_quadratic import LinearQuadratic
from dosegrad.rbe.linear_scaling import LinearScaling
from dosegrad.rbe.mairani import Mairani
from dosegrad.rbe.mcnamara import McNamara
from dosegrad.rbe.protocols import LETModel, RBEModel
from dosegrad.rbe.tissue import Tissue
from dosegrad.rbe.wedenberg import Wedenberg

__all__ = [
    "Carabe",
    "ConstantRBE",
    "LETModel",
    "LinearQuadratic",
    "LinearScaling",
    "Mairani",
    "McNamara",
    "RBEModel",
    "Tissue",
    "Wedenberg",
]
