module example.com/hop3-memcached

go 1.26.0

require (
	github.com/abilian/hop3 v0.0.0
	github.com/caddyserver/caddy/v2 v2.11.9
)

replace github.com/abilian/hop3 => ../../..
