package subject

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/serverconfig"
	"github.com/abilian/hop3/hop3/store"
)

// AppName is the name of one of the apps that Register makes.
func AppName(i int) string { return fmt.Sprintf("app%05d", i) }

// Register writes n apps with a live release, a host and a page into the
// database and the files of a home. The first so many of them have a process
// too, which the server starts.
func Register(ctx context.Context, home string, n, processes int) error {
	config := &serverconfig.Config{Home: home}
	if err := serverconfig.Prepare(config); err != nil {
		return err
	}
	db, err := store.Open(ctx, "", home, store.WithSecret(config.SecretKey))
	if err != nil {
		return err
	}
	for i := range n {
		var process []hop3.Process
		if i < processes {
			process = []hop3.Process{{Type: "worker", Command: "exec sleep infinity", Count: 1}}
		}
		if err := registerApp(ctx, db, home, AppName(i), process); err != nil {
			_ = db.Close()
			return err
		}
	}
	return db.Close()
}

func registerApp(ctx context.Context, db *store.DB, home, app string, processes []hop3.Process) error {
	vars := hop3.Env{"GREETING": "hello", "WORKERS": "4", "DATABASE_URL": "postgres://app:secret@127.0.0.1/app"}
	if err := db.CreateApp(ctx, hop3.App{Name: app, State: hop3.StateRunning, DeployBranch: "main", Env: vars}); err != nil {
		return err
	}
	r, err := db.NewRelease(ctx, hop3.Release{
		App: app, Kind: hop3.ReleasePush, Status: hop3.ReleaseBuilding, Commit: strings.Repeat("ab", 20), Branch: "main",
		Build: 1, Artifact: hop3.Artifact{Toolchains: []string{"static"}, StaticRoot: "public"}, Processes: processes,
		Env: vars, Hosts: []string{app + ".localhost"}, AllowHTTP: true,
	})
	if err != nil {
		return err
	}
	public := filepath.Join(home, "apps", app, "releases", strconv.Itoa(r.Number), "public")
	if err := os.MkdirAll(public, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(public, "index.html"), []byte(app), 0o644); err != nil {
		return err
	}
	return db.Commit(ctx, app, r.Number)
}
