-- no-transaction
DROP INDEX CONCURRENTLY reports_duplicate_of_idx;
