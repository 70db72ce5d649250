"""What agent does outside a request: reads documents, tells of it, and follows auth and invoice."""

from .deliveries import Deliveries
from .extraction import OCR_MODULE, READING_MODULE, Extraction
from .facts import HANDLERS
from .learning import Learning
from .steps import Steps
from .workflow import Workflow, on_failed

__all__ = [
    "HANDLERS",
    "OCR_MODULE",
    "READING_MODULE",
    "Deliveries",
    "Extraction",
    "Learning",
    "Steps",
    "Workflow",
    "on_failed",
]
