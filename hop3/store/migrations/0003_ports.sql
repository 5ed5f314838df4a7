-- The fixed ports of the host that apps have, each one app's.

-- +goose Up
CREATE TABLE ports (
    number   INTEGER NOT NULL,
    protocol TEXT NOT NULL,
    app      TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    source   TEXT NOT NULL,
    PRIMARY KEY (number, protocol)
);

CREATE INDEX ports_app ON ports (app);
