-- login_generation: tokens of an earlier one have ended, but for the one whose
-- id is kept_login. An identity is how an OpenID provider knows a user.

-- +goose Up
ALTER TABLE users ADD COLUMN login_generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN kept_login TEXT NOT NULL DEFAULT '';

CREATE TABLE identities (
    issuer    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    username  TEXT NOT NULL REFERENCES users (username) ON DELETE CASCADE,
    linked_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_of_user ON identities (username);
