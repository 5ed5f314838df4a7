-- Who may do what. Roles: 0 none, 1 viewer, 2 deployer, 3 admin. Everybody was
-- a deployer of everything: so they are, in the team that all apps belong to.
-- An API token is remembered by the id that its bearer shows, not by itself.

-- +goose Up
CREATE TABLE teams (
    name       TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL
);
INSERT INTO teams (name, created_at) VALUES ('default', 0);

CREATE TABLE team_members (
    team     TEXT NOT NULL REFERENCES teams (name) ON DELETE CASCADE,
    username TEXT NOT NULL REFERENCES users (username) ON DELETE CASCADE,
    role     BIGINT NOT NULL,
    PRIMARY KEY (team, username)
);
INSERT INTO team_members (team, username, role) SELECT 'default', username, 2 FROM users;
CREATE INDEX team_members_of_user ON team_members (username);

ALTER TABLE apps ADD COLUMN team TEXT NOT NULL DEFAULT 'default';

CREATE TABLE user_grants (
    app      TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    username TEXT NOT NULL REFERENCES users (username) ON DELETE CASCADE,
    role     BIGINT NOT NULL,
    PRIMARY KEY (app, username)
);
CREATE INDEX user_grants_of_user ON user_grants (username);

CREATE TABLE team_grants (
    app  TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    team TEXT NOT NULL REFERENCES teams (name) ON DELETE CASCADE,
    role BIGINT NOT NULL,
    PRIMARY KEY (app, team)
);

ALTER TABLE users ADD COLUMN role BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN second_factor TEXT NOT NULL DEFAULT '';

CREATE TABLE api_tokens (
    id         TEXT PRIMARY KEY,
    username   TEXT NOT NULL REFERENCES users (username) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    scope      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    last_used  BIGINT NOT NULL,
    UNIQUE (username, name)
);
