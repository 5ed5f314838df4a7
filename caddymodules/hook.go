package caddymodules

import (
	"os"
	"path/filepath"

	"github.com/abilian/hop3/hop3/git"
)

// Git calls this program by another name as its hook: see openRepos. That is
// answered here and not in a main, because a Caddy built by xcaddy has a main
// that does not know of it, and would accept every push.
func init() {
	if filepath.Base(os.Args[0]) == git.HookName {
		os.Exit(git.HookMain())
	}
}
