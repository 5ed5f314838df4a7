-- An event outlives the app it is of. Each has a hash over itself and the hash
-- of the one before; event_chain has the hash of the last one, and that of the
-- last one that was forgotten.

-- +goose Up
CREATE TABLE events (
    id       BIGINT PRIMARY KEY,
    at       BIGINT NOT NULL,
    kind     TEXT NOT NULL,
    actor    TEXT NOT NULL,
    source   TEXT NOT NULL,
    app      TEXT NOT NULL,
    release  INTEGER NOT NULL,
    message  TEXT NOT NULL,
    data     TEXT NOT NULL,
    hash     TEXT NOT NULL
);

CREATE INDEX events_of_app ON events (app, id);
CREATE INDEX events_by_time ON events (at);

CREATE TABLE event_chain (
    id        INTEGER PRIMARY KEY,
    last_id   BIGINT NOT NULL,
    last_hash TEXT NOT NULL,
    base_hash TEXT NOT NULL
);

INSERT INTO event_chain (id, last_id, last_hash, base_hash) VALUES (1, 0, '', '');

-- spec: where notices go and which, sealed: the address may be a secret. A
-- notice is an event, or several of a kind, that is still to be sent.
CREATE TABLE notify_targets (
    name          TEXT PRIMARY KEY,
    spec          TEXT NOT NULL,
    failures      INTEGER NOT NULL DEFAULT 0,
    failing_since BIGINT NOT NULL DEFAULT 0,
    last_error    TEXT NOT NULL DEFAULT '',
    last_sent     BIGINT NOT NULL DEFAULT 0,
    dropped       INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE notices (
    id       BIGINT PRIMARY KEY,
    target   TEXT NOT NULL REFERENCES notify_targets (name) ON DELETE CASCADE,
    merge    TEXT NOT NULL,
    event    TEXT NOT NULL,
    count    INTEGER NOT NULL,
    first_at BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    next_at  BIGINT NOT NULL
);

CREATE INDEX notices_due ON notices (next_at);
