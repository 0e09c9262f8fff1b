-- A program is what a company publishes: what may be tested, by which rules, for which reward.
CREATE TABLE programs (
    id          uuid        PRIMARY KEY,
    slug        text        NOT NULL,
    name        text        NOT NULL,
    summary     text        NOT NULL,
    policy      text        NOT NULL DEFAULT '',
    status      text        NOT NULL DEFAULT 'draft',
    currency    text        NOT NULL DEFAULT 'EUR',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT programs_slug_key      UNIQUE (slug),
    CONSTRAINT programs_slug_check    CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(slug) BETWEEN 3 AND 60),
    CONSTRAINT programs_name_check    CHECK (length(name) BETWEEN 1 AND 120),
    CONSTRAINT programs_summary_check CHECK (length(summary) BETWEEN 1 AND 500),
    CONSTRAINT programs_policy_check  CHECK (length(policy) <= 20000),
    -- Text with a check instead of an enum type: a value can be added and removed without a lock on every reader.
    CONSTRAINT programs_status_check  CHECK (status IN ('draft', 'open', 'paused', 'closed')),
    CONSTRAINT programs_currency_check CHECK (currency ~ '^[A-Z]{3}$')
);

-- The list is read newest first, with (created_at, id) as the key of the page.
CREATE INDEX programs_newest_idx ON programs (created_at DESC, id DESC);

CREATE TABLE program_assets (
    program_id   uuid    NOT NULL REFERENCES programs (id) ON DELETE CASCADE,
    identifier   text    NOT NULL,
    kind         text    NOT NULL,
    in_scope     boolean NOT NULL DEFAULT true,
    instructions text    NOT NULL DEFAULT '',

    PRIMARY KEY (program_id, identifier),
    CONSTRAINT program_assets_identifier_check   CHECK (length(identifier) BETWEEN 1 AND 255),
    CONSTRAINT program_assets_instructions_check CHECK (length(instructions) <= 2000),
    CONSTRAINT program_assets_kind_check
        CHECK (kind IN ('web', 'api', 'mobile', 'source', 'hardware', 'network', 'other'))
);

-- Amounts are in the program's currency, in its minor unit (cents).
CREATE TABLE program_rewards (
    program_id uuid   NOT NULL REFERENCES programs (id) ON DELETE CASCADE,
    severity   text   NOT NULL,
    minimum    bigint NOT NULL,
    maximum    bigint NOT NULL,

    PRIMARY KEY (program_id, severity),
    CONSTRAINT program_rewards_severity_check CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    CONSTRAINT program_rewards_range_check    CHECK (minimum >= 0 AND maximum >= minimum)
);
