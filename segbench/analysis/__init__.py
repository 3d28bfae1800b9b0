"""Reading what runs left behind: statistics, profiling, features, plots, reports."""
