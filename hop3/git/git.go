// Package git holds the apps' bare repositories: it receives pushes, serves
// clones, reads commits and checks them out.
//
// Stock git does what eats memory or must be crash-safe (receive-pack,
// upload-pack, checkout), each time in its own process group with a memory
// limit and nothing of our environment; go-git does the reading. A push runs
// the caller's PreReceive inside the server while its objects are still in
// quarantine: git's pre-receive hook is this very executable, which asks the
// server over a unix socket and relays what it answers.
package git

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// Config says how git is run. The zero value is usable.
type Config struct {
	Binary     string // git's path; "" means the git of $PATH
	Executable string // what the hook runs; "" means this executable
	// MaxPackBytes is the largest push taken, as it comes over the wire.
	MaxPackBytes int64 // 0 means 1 GiB
	// MemoryBytes is what one git process may allocate.
	MemoryBytes uint64 // 0 means 512 MiB
	// MaxTransfers is how many pushes and fetches are served at a time. Each
	// may take MemoryBytes.
	MaxTransfers int   // 0 means 32
	MaxFiles     int   // of a checkout, directories included; 0 means 250,000
	MaxTree      int64 // total bytes of a checkout; 0 means 4 GiB
	// MaxFetchBytes and FetchTimeout bound one fetch from elsewhere.
	MaxFetchBytes int64         // 0 means 2 GiB
	FetchTimeout  time.Duration // 0 means 10 minutes
	// AllowPrivate lets Fetch connect to addresses of this machine and its
	// networks.
	AllowPrivate bool
	Logger       *zap.Logger
}

// Repositories are the bare repositories <home>/apps/<app>/git of one home. Its
// methods are safe for concurrent use.
type Repositories struct {
	home     string
	cfg      Config
	instance string // tells this server's children from an earlier one's
	hooks    *hookServer
	readers  sync.WaitGroup // goroutines that copy a caller's Stdin to git

	receiving receiving
	transfers chan struct{} // holds one for each push and fetch under way
}

// Open makes the directories it needs under home, puts the hook in place and
// listens for it. It starts no process and does not need git.
func Open(home string, cfg Config) (*Repositories, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return nil, fmt.Errorf("opening repositories: %w", err)
	}
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("opening repositories: %w", err)
	}
	r := &Repositories{home: home, cfg: cfg, instance: rand.Text(), transfers: make(chan struct{}, cfg.MaxTransfers)}
	if err := r.installHook(); err != nil {
		return nil, fmt.Errorf("installing the git hook: %w", err)
	}
	r.hooks, err = listenHooks(filepath.Join(home, "run", "hook.sock"), cfg.Logger, r.newPush)
	if err != nil {
		return nil, fmt.Errorf("listening for the git hook: %w", err)
	}
	return r, nil
}

func (c *Config) setDefaults() error {
	if c.Binary == "" {
		c.Binary = "git"
	}
	if c.Executable == "" {
		exe, err := os.Executable()
		if err != nil {
			return err
		}
		c.Executable = exe
	}
	if c.MaxPackBytes == 0 {
		c.MaxPackBytes = 1 << 30
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = 512 << 20
	}
	if c.MaxTransfers == 0 {
		c.MaxTransfers = 32
	}
	if c.MaxFiles == 0 {
		c.MaxFiles = 250_000
	}
	if c.MaxTree == 0 {
		c.MaxTree = 4 << 30
	}
	if c.MaxFetchBytes == 0 {
		c.MaxFetchBytes = 2 << 30
	}
	if c.FetchTimeout == 0 {
		c.FetchTimeout = 10 * time.Minute
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return nil
}

// Close stops listening for hooks. Call it after every Receive and Upload has
// returned and their Stdin has ended; Close waits for both.
func (r *Repositories) Close() error {
	err := r.hooks.close()
	r.readers.Wait()
	return err
}

// CheckInstalled returns a CodeUnavailable error that says how to install git
// when it is not there, or does not run.
func (r *Repositories) CheckInstalled(ctx context.Context) error {
	path, err := exec.LookPath(r.cfg.Binary)
	if err == nil {
		cmd := exec.CommandContext(ctx, path, "version")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // none of the server's secrets
		err = cmd.Run()
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return hop3.Errorf(hop3.CodeUnavailable, "git is not installed on this server: %w", err).
			WithHint("Install the package git: apt-get install git")
	}
	return hop3.Errorf(hop3.CodeUnavailable, "git does not run on this server: %w", err).
		WithHint("Reinstall the package git: apt-get install --reinstall git")
}

// dir returns the app's repository, for a valid name only: names become paths.
func (r *Repositories) dir(app string) (string, error) {
	if err := hop3.ValidateAppName(app); err != nil {
		return "", err
	}
	return filepath.Join(r.home, "apps", app, "git"), nil
}

// existing is dir for a repository that must exist.
func (r *Repositories) existing(app string) (string, error) {
	dir, err := r.dir(app)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, "HEAD")); err != nil {
		return "", hop3.Errorf(hop3.CodeNotFound, "there is no repository of an app %q", app)
	}
	return dir, nil
}
