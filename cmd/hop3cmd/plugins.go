package hop3cmd

// The plug-ins that are built in.
import (
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/abilian/hop3/addons"
	_ "github.com/abilian/hop3/caddymodules"
	_ "github.com/abilian/hop3/hop3/build"
	_ "github.com/abilian/hop3/hop3/docker"
	_ "github.com/abilian/hop3/hop3/nginx"
	_ "github.com/abilian/hop3/hop3/nix"
	_ "github.com/abilian/hop3/hop3/rfc2136"
	_ "github.com/abilian/hop3/hop3/supervisor"
	_ "github.com/abilian/hop3/hop3/traefik"
	_ "github.com/abilian/hop3/toolchains"
	_ "github.com/abilian/hop3/uwsgi"
)
