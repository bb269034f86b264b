"""What happened in a run, as data: events, files, and the monitors that judge them."""
