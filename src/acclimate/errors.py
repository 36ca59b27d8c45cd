"""The exceptions this package raises, one tree.

AcclimateError          the work failed                                exit code 1
├── UsageError          wrong command line                             exit code 2
│   └── RecipeError     wrong recipe: unknown key, bad value           exit code 2
├── DataError           a user's file is missing, unreadable or wrong
├── BenchmarkError      a benchmark's definition or its data is wrong
├── EngineError         a model cannot be opened, or broke its promise
├── ArtifactError       an artifact is broken, busy, or cannot be written
└── TrainError          training cannot start or must stop

A message says what is wrong, where (file, row, id), and what to do about it, in one paragraph.
Bad *records* are never exceptions: they are `Rejection`s and are counted.
"""


class AcclimateError(Exception):
    """The work failed; the message says what, where and the remedy."""

    exit_code = 1


class UsageError(AcclimateError):
    """The command line asks for something that cannot be done."""

    exit_code = 2


class RecipeError(UsageError):
    """The recipe is wrong."""


class DataError(AcclimateError):
    """A user's file is missing, unreadable or not what it should be."""


class BenchmarkError(DataError):
    """A benchmark's definition or data is wrong."""


class EngineError(AcclimateError):
    """A model cannot be opened, or an engine broke its promise."""


class ArtifactError(AcclimateError):
    """An artifact is broken, busy, or cannot be written."""


class TrainError(AcclimateError):
    """Training cannot start, or must stop."""
