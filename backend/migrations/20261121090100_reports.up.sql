-- A report is one finding that a researcher sends to one program.
CREATE TABLE reports (
    id          uuid        PRIMARY KEY,
    -- What people call the report in a conversation; never used again, not even after a rollback.
    number      bigint      GENERATED ALWAYS AS IDENTITY (START WITH 1001),
    program_id  uuid        NOT NULL REFERENCES programs (id) ON DELETE RESTRICT,
    title       text        NOT NULL,
    severity    text        NOT NULL,
    state       text        NOT NULL DEFAULT 'new',
    weakness    integer,
    asset       text,
    description text        NOT NULL,
    reporter    text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT reports_number_key        UNIQUE (number),
    CONSTRAINT reports_title_check       CHECK (length(title) BETWEEN 1 AND 200),
    CONSTRAINT reports_severity_check    CHECK (severity IN ('none', 'low', 'medium', 'high', 'critical')),
    CONSTRAINT reports_state_check
        CHECK (state IN ('new', 'triaged', 'resolved', 'duplicate', 'informative', 'rejected')),
    -- A weakness is the number of a CWE entry: 79 stands for CWE-79.
    CONSTRAINT reports_weakness_check    CHECK (weakness BETWEEN 1 AND 99999),
    CONSTRAINT reports_description_check CHECK (length(description) BETWEEN 1 AND 50000),
    CONSTRAINT reports_reporter_check    CHECK (reporter ~ '^[a-z0-9][a-z0-9_-]{1,38}$'),
    CONSTRAINT reports_asset_fkey
        FOREIGN KEY (program_id, asset) REFERENCES program_assets (program_id, identifier) ON DELETE RESTRICT
);

CREATE INDEX reports_newest_idx         ON reports (created_at DESC, id DESC);
CREATE INDEX reports_program_newest_idx ON reports (program_id, created_at DESC, id DESC);
