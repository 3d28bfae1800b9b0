"""Data sets, one file each, and folders of any layout."""
