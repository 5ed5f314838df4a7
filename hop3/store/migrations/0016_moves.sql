-- What this server knows of apps that come from another one, or go to one.
-- spec is sealed: it has what the servers know each other by.

-- +goose Up
CREATE TABLE moves (
    app        TEXT NOT NULL,
    incoming   BOOLEAN NOT NULL,
    spec       TEXT NOT NULL,
    PRIMARY KEY (app, incoming)
);
