"""Reports: a finished run in the forms that people and programs read."""
