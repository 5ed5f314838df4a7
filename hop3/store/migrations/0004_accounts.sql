-- accounts: the logins that the server made up for the app, as sealed as env.

-- +goose Up
ALTER TABLE apps ADD COLUMN accounts TEXT NOT NULL DEFAULT '{}';
