-- asleep: a running app without instances, which the next request starts.
-- A cron run has ended_at 0 while it runs, due_at 0 when a person asked for it.

-- +goose Up
ALTER TABLE apps ADD COLUMN asleep BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TABLE cron_runs (
    id         BIGINT PRIMARY KEY,
    app        TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    entry      TEXT NOT NULL,
    release    INTEGER NOT NULL,
    due_at     BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    exit       INTEGER NOT NULL,
    error      TEXT NOT NULL,
    log_file   TEXT NOT NULL
);

CREATE INDEX cron_runs_of_app ON cron_runs (app, id);
