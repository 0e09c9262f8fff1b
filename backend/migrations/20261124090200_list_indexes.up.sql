-- Every list is read in the order of an index, whatever it is filtered by: it neither sorts nor reads what it does not
-- show. Reports are read far more often than they are sent, so that an index for each combination is worth its upkeep.
CREATE INDEX programs_status_newest_idx                   ON programs (status, created_at DESC, id DESC);
CREATE INDEX reports_state_newest_idx                     ON reports (state, created_at DESC, id DESC);
CREATE INDEX reports_severity_newest_idx                  ON reports (severity, created_at DESC, id DESC);
CREATE INDEX reports_state_severity_newest_idx            ON reports (state, severity, created_at DESC, id DESC);
CREATE INDEX reports_program_state_newest_idx             ON reports (program_id, state, created_at DESC, id DESC);
CREATE INDEX reports_program_severity_newest_idx          ON reports (program_id, severity, created_at DESC, id DESC);
CREATE INDEX reports_program_state_severity_newest_idx
    ON reports (program_id, state, severity, created_at DESC, id DESC);
