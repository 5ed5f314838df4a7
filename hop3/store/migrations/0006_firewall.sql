-- The named networks of the server, and who the firewall of an app keeps out.

-- +goose Up
CREATE TABLE networks (
    name  TEXT PRIMARY KEY,
    cidrs TEXT NOT NULL
);

CREATE TABLE bans (
    app        TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    source     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    since      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (app, source)
);
