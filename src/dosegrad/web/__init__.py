"""Pages in the browser: Planner 2D and the planning workspace."""

from dosegrad.web.server import serve

__all__ = ["serve"]
