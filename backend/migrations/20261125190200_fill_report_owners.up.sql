-- no-transaction
-- An account for each sender so far, and its id into their reports, some thousand at a time: nothing is locked for longer
-- than a batch takes, and where it is interrupted it goes on.
INSERT INTO users (id, handle)
SELECT gen_random_uuid(), reporter FROM (SELECT DISTINCT reporter FROM reports WHERE reporter_id IS NULL) senders
ON CONFLICT (handle) DO NOTHING;

-- accept trace-write: in batches of 5,000 rows, each of which is a transaction of its own.
DO $$
BEGIN
    LOOP
        UPDATE reports r SET reporter_id = u.id
        FROM users u
        WHERE u.handle = r.reporter
              AND r.id IN (SELECT id FROM reports WHERE reporter_id IS NULL LIMIT 5000);
        EXIT WHEN NOT FOUND;
        COMMIT;
    END LOOP;
END
$$;
