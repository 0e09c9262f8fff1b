-- no-transaction
DROP INDEX CONCURRENTLY reports_text_idx;
