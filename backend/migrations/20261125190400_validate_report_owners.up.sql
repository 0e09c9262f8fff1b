-- no-transaction
ALTER TABLE reports VALIDATE CONSTRAINT reports_reporter_id_check;
ALTER TABLE reports VALIDATE CONSTRAINT reports_reporter_id_fkey;
ALTER TABLE reports VALIDATE CONSTRAINT reports_duplicate_of_fkey;
