-- A report's sender becomes an account: `reporter`, a text that anybody could write, becomes `reporter_id`. Both stand side
-- by side until no version reads or writes the text, so that the version before goes on meanwhile. This migration
-- adds the column, the next ones fill and require it; a later one will drop the text.
ALTER TABLE reports ADD COLUMN reporter_id uuid;
-- accept ban-new-write-restriction: the column is new, and the version before does not write it.
ALTER TABLE reports ADD CONSTRAINT reports_reporter_id_fkey FOREIGN KEY (reporter_id) REFERENCES users (id) NOT VALID;

-- The version before sends no id. Its reports get the account with that handle; where there is none, one is made that nobody
-- can sign in to.
CREATE FUNCTION fill_reporter_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.reporter_id IS NULL THEN
        INSERT INTO users (id, handle) VALUES (gen_random_uuid(), NEW.reporter) ON CONFLICT (handle) DO NOTHING;
        SELECT id INTO NEW.reporter_id FROM users WHERE handle = NEW.reporter;
    END IF;
    RETURN NEW;
END
$$;

-- accept create-trigger: it only adds what the version before leaves out, and every handle that reports accept, users accept.
CREATE TRIGGER reports_fill_reporter_id BEFORE INSERT ON reports FOR EACH ROW EXECUTE FUNCTION fill_reporter_id();

-- The report that said it first.
ALTER TABLE reports ADD COLUMN duplicate_of uuid;
-- accept ban-new-write-restriction: the column is new, and the version before does not write it.
ALTER TABLE reports ADD CONSTRAINT reports_duplicate_of_fkey FOREIGN KEY (duplicate_of) REFERENCES reports (id) NOT VALID;

-- Grows with each change: who changes something says which version they have seen.
ALTER TABLE reports ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE programs ADD COLUMN version bigint NOT NULL DEFAULT 1;

-- Who triages what.
CREATE TABLE program_members (
    program_id uuid        NOT NULL REFERENCES programs (id) ON DELETE CASCADE,
    user_id    uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (user_id, program_id)
);

CREATE INDEX program_members_program_idx ON program_members (program_id);

-- What happened to a report, in order: its audit trail.
CREATE TABLE report_events (
    id         uuid        PRIMARY KEY,
    report_id  uuid        NOT NULL REFERENCES reports (id) ON DELETE CASCADE,
    actor_id   uuid        REFERENCES users (id) ON DELETE SET NULL,
    kind       text        NOT NULL,
    -- What was before and what is now.
    changes    jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT report_events_kind_check CHECK (kind IN ('created', 'changed', 'transitioned', 'commented'))
);

CREATE INDEX report_events_report_idx ON report_events (report_id, created_at DESC, id DESC);
CREATE INDEX report_events_actor_idx  ON report_events (actor_id);

CREATE TABLE report_comments (
    id         uuid        PRIMARY KEY,
    report_id  uuid        NOT NULL REFERENCES reports (id) ON DELETE CASCADE,
    author_id  uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    body       text        NOT NULL,
    -- For those who triage, and not for the sender.
    internal   boolean     NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT report_comments_body_check CHECK (length(body) BETWEEN 1 AND 20000)
);

CREATE INDEX report_comments_report_idx ON report_comments (report_id, created_at DESC, id DESC);
CREATE INDEX report_comments_author_idx ON report_comments (author_id);

-- The answers to requests that may come again because theirs was lost.
CREATE TABLE idempotency_keys (
    user_id      uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key          text        NOT NULL,
    -- SHA-256 of what was asked for.
    request_hash bytea       NOT NULL,
    location     text,
    etag         text,
    body         text,
    created_at   timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (user_id, key),
    CONSTRAINT idempotency_keys_key_check CHECK (length(key) BETWEEN 1 AND 255)
);

CREATE INDEX idempotency_keys_age_idx ON idempotency_keys (created_at);
