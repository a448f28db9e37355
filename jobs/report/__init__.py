"""What a machine brought home, read with suspicion: to a page that opens anywhere, a model card, a script to try."""

from jobs.report.files import ReportError, counted
from jobs.report.given import Base, Notes
from jobs.report.read import ArmScore, Found, read_all, read_scores
from jobs.report.writing import write

__all__ = ["ArmScore", "Base", "Found", "Notes", "ReportError", "counted", "read_all", "read_scores", "write"]
