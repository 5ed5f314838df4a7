-- Databases and other services that apps are given. What an addon is made of
-- is stored, sealed, before anything is made. An addon outlives the apps it is
-- attached to, and no attachment outlives its addon.

-- +goose Up
CREATE TABLE addons (
    type       TEXT NOT NULL,
    name       TEXT NOT NULL,
    status     TEXT NOT NULL,
    dedicated  BOOLEAN NOT NULL,
    options    TEXT NOT NULL,
    details    TEXT NOT NULL,
    next       TEXT NOT NULL,
    last       TEXT NOT NULL,
    team       TEXT NOT NULL,
    created_by TEXT NOT NULL,
    app        TEXT NOT NULL,
    exposed    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (type, name)
);

CREATE TABLE attachments (
    app        TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    type       TEXT NOT NULL,
    name       TEXT NOT NULL,
    is_primary BOOLEAN NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (app, type, name),
    FOREIGN KEY (type, name) REFERENCES addons (type, name)
);
CREATE INDEX attachments_of_addon ON attachments (type, name);
