"""Compares the runs of a study: intervals, paired tests, audit, report."""
