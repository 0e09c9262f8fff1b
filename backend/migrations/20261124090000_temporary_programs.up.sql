-- A temporary program is made by an automatic check of a running service, and removed by it with its reports.
ALTER TABLE programs ADD COLUMN temporary boolean NOT NULL DEFAULT false;

-- Those that a check did not live to remove are found by their age.
CREATE INDEX programs_temporary_idx ON programs (created_at) WHERE temporary;

-- The one that checks had in common before.
UPDATE programs SET temporary = true WHERE slug = 'smoke-test' AND name = 'Smoke test';
