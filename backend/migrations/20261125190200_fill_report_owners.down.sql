-- What was filled in goes with the column; the accounts stay, as somebody may have been given theirs.
SELECT 1;
