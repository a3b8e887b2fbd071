"""Data Programming: weighted factors of votes and class."""

from lfkit.aggregators.data_programming.data_programming import (
    DataProgramming as DataProgramming,
)
