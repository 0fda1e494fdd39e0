"""One file a case: ``rows(run)`` measures and gives the lines of the table."""
