-- Each change of an app has a number, which never goes back: who knows an app
-- by its revision need not read it again.

-- +goose Up
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('apps', 0);

ALTER TABLE apps ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
