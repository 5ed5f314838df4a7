-- A backup outlives its app. spec: all that no query asks for, as JSON; it has
-- no secrets. A restore is remembered while it is under way.

-- +goose Up
CREATE TABLE backups (
    id         TEXT PRIMARY KEY,
    app        TEXT NOT NULL,
    state      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    spec       TEXT NOT NULL
);

CREATE INDEX backups_of_app ON backups (app, created_at);

-- spec is sealed: it has the app's variables from before.
CREATE TABLE restores (
    target     TEXT PRIMARY KEY,
    spec       TEXT NOT NULL
);
