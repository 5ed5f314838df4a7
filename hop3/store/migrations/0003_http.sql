-- http: what was said by command about an app's requests, as JSON.

-- +goose Up
ALTER TABLE apps ADD COLUMN http TEXT NOT NULL DEFAULT '{}';
