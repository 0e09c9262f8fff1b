-- An account of a person. One without an address and a password cannot sign in: it stands for the sender of reports that
-- came before there were accounts, until its person is given it.
CREATE TABLE users (
    id                 uuid        PRIMARY KEY,
    handle             text        NOT NULL,
    name               text        NOT NULL DEFAULT '',
    -- In lower case: two addresses that differ in case alone reach the same person almost everywhere. Mail is known to
    -- arrive there.
    email              text,
    -- In PHC format, or as bcrypt wrote it.
    password_hash      text,
    role               text        NOT NULL DEFAULT 'researcher',
    status             text        NOT NULL DEFAULT 'active',
    -- Made by an automatic check of a running service, and removed by it.
    temporary          boolean     NOT NULL DEFAULT false,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT users_handle_key    UNIQUE (handle),
    CONSTRAINT users_email_key     UNIQUE (email),
    CONSTRAINT users_handle_check  CHECK (handle ~ '^[a-z0-9][a-z0-9_-]{1,38}$'),
    CONSTRAINT users_name_check    CHECK (length(name) <= 80),
    CONSTRAINT users_email_check   CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
    CONSTRAINT users_role_check    CHECK (role IN ('researcher', 'triager', 'admin')),
    CONSTRAINT users_status_check  CHECK (status IN ('active', 'disabled')),
    CONSTRAINT users_sign_in_check CHECK ((email IS NULL) = (password_hash IS NULL))
);

CREATE INDEX users_newest_idx    ON users (created_at DESC, id DESC);
CREATE INDEX users_temporary_idx ON users (created_at) WHERE temporary;

-- A session is one sign-in on one device. It ends by itself when it is not used for long enough.
CREATE TABLE sessions (
    id           uuid        PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    user_agent   text        NOT NULL DEFAULT '',
    address      text        NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    -- Why it ended before its time.
    ended_by     text,

    CONSTRAINT sessions_user_agent_check CHECK (length(user_agent) <= 200),
    CONSTRAINT sessions_ended_check      CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CONSTRAINT sessions_ended_by_check   CHECK (ended_by IN ('sign-out', 'password', 'reuse', 'admin'))
);

CREATE INDEX sessions_user_idx    ON sessions (user_id, created_at DESC, id DESC);
CREATE INDEX sessions_expires_idx ON sessions (expires_at);

-- Each refresh gives out a new token. Those used before are kept as long as their session: one that comes a second time
-- was stolen, from its owner or by its sender, and ends the session.
CREATE TABLE refresh_tokens (
    -- HMAC-SHA256 of the token: who can read this table cannot sign in with what stands in it.
    hash       bytea       PRIMARY KEY,
    session_id uuid        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at    timestamptz
);

CREATE INDEX refresh_tokens_session_idx ON refresh_tokens (session_id);

-- Who has signed up, and not yet answered the mail. It is no account: it takes no handle and no address from anybody, and
-- what was typed counts only for whoever answers this very mail.
CREATE TABLE sign_ups (
    -- HMAC-SHA256 of the token in the mail.
    hash          bytea       PRIMARY KEY,
    email         text        NOT NULL,
    handle        text        NOT NULL,
    password_hash text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL
);

CREATE INDEX sign_ups_email_idx   ON sign_ups (email);
CREATE INDEX sign_ups_expires_idx ON sign_ups (expires_at);

-- Who may set a password without knowing the one before.
CREATE TABLE password_resets (
    hash       bytea       PRIMARY KEY,
    user_id    uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

CREATE INDEX password_resets_user_idx    ON password_resets (user_id);
CREATE INDEX password_resets_expires_idx ON password_resets (expires_at);
