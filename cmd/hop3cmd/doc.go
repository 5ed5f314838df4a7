// Package hop3cmd has the commands of the server's host: run, key, admin and
// the like. cmd/hop3 mounts them at its root; in a Caddy built by xcaddy they
// are below `caddy hop3`.
package hop3cmd
