-- A constraint that holds has nothing to be undone.
SELECT 1;
