-- One set of statements for SQLite and PostgreSQL. Times are microseconds since
-- 1970, 0 for never; env is sealed when the server has a secret.

-- +goose Up
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE apps (
    name          TEXT PRIMARY KEY,
    label         TEXT NOT NULL UNIQUE,
    state         INTEGER NOT NULL,
    error         TEXT NOT NULL,
    deploy_branch TEXT NOT NULL,
    live          INTEGER NOT NULL,
    last_release  INTEGER NOT NULL,
    env           TEXT NOT NULL,
    scale         TEXT NOT NULL,
    created_by    TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);

CREATE TABLE releases (
    app        TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    status     TEXT NOT NULL,
    build      INTEGER NOT NULL,
    env        TEXT NOT NULL,
    spec       TEXT NOT NULL,
    error      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    live_at    BIGINT NOT NULL,
    PRIMARY KEY (app, number)
);

CREATE UNIQUE INDEX releases_one_live ON releases (app) WHERE status = 'live';

CREATE TABLE hosts (
    host TEXT PRIMARY KEY,
    app  TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE
);

CREATE INDEX hosts_app ON hosts (app);

CREATE TABLE users (
    username      TEXT PRIMARY KEY,
    email         TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    admin         BOOLEAN NOT NULL,
    active        BOOLEAN NOT NULL,
    login_count   INTEGER NOT NULL,
    last_login    BIGINT NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE ssh_keys (
    fingerprint TEXT PRIMARY KEY,
    username    TEXT NOT NULL REFERENCES users (username) ON DELETE CASCADE,
    public_key  TEXT NOT NULL,
    comment     TEXT NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE INDEX ssh_keys_username ON ssh_keys (username);

CREATE TABLE revoked_tokens (
    id      TEXT PRIMARY KEY,
    expires BIGINT NOT NULL
);
