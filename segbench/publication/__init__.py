"""What a study needs to be published: tables, figures, methods, checklists, references, data."""
