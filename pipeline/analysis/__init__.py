"""What the archive and the desk tell in hindsight: small tidy frames, for the pages and for notebooks.

`Archive` reads committed files lazily; every function takes such frames, or rows of
the desk, and returns a polars frame whose columns its docstring explains. `study`
asks everything at once. Nothing here has names of citizens, and nothing writes.
"""

from pipeline.analysis.archive import EVER, Archive, Span
from pipeline.analysis.desk import alerts_frame, read_alerts
from pipeline.analysis.handling import response_by_hour, response_times, wrong_person
from pipeline.analysis.study import Question, Study, study
from pipeline.analysis.subjects import repeat_subjects
from pipeline.analysis.tally import by_district, tally, trend, weekday_hour
from pipeline.analysis.words import words_around

__all__ = [
    "EVER",
    "Archive",
    "Question",
    "Span",
    "Study",
    "alerts_frame",
    "by_district",
    "read_alerts",
    "repeat_subjects",
    "response_by_hour",
    "response_times",
    "study",
    "tally",
    "trend",
    "weekday_hour",
    "words_around",
    "wrong_person",
]
