"""What data scientists work with: a workspace's tables, cube and views, in Python and as an intake catalogue."""

from pipeline.workbench.door import Workbench
from pipeline.workbench.readers import catalogue

__all__ = ["Workbench", "catalogue"]
