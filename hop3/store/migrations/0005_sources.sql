-- spec: what of an app no query asks for, sealed as env is. A delivery is a
-- message of a git host; it is forgotten with its app.

-- +goose Up
ALTER TABLE apps ADD COLUMN spec TEXT NOT NULL DEFAULT '';

CREATE TABLE webhook_deliveries (
    id          BIGINT PRIMARY KEY,
    app         TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    host        TEXT NOT NULL,
    delivery    TEXT NOT NULL,
    digest      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    ref         TEXT NOT NULL,
    commit_hash TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    status      TEXT NOT NULL,
    note        TEXT NOT NULL
);

CREATE INDEX webhook_deliveries_of_app ON webhook_deliveries (app, id);
