// Package sandbox starts the processes of apps in a place of their own: as a
// user of their own, who sees of the server only the app's own files and
// processes, in a control group that limits and counts what they use.
//
// It does what this process has the rights for; Isolation and Limits say what
// is missing. The package needs Linux, isolation 5.12 or later.
//
// There is no helper process: a thread of the server takes on the place (a
// mount namespace, no new privileges, on v1 the control group), forks, and
// ends. What a thread has taken on never gets back to the server.
package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/cgroup"
)

// Modes of isolation.
const (
	Auto     = "auto"     // isolate where the rights are there, else say so once
	Required = "required" // Open fails without the rights
	Off      = "off"
)

// Options are the settings of a Sandbox. Home is required.
type Options struct {
	Home string // the server's home: hidden, but for what a Spec names
	Mode string // Auto unless set
	// FirstUID and LastUID are the users that apps get, one each; 70000 to
	// 79999 unless set. They have no entry in /etc/passwd outside.
	FirstUID, LastUID int
	// Binds are the host's directories that apps may have as volumes.
	Binds  []hop3.BindRule
	Logger *slog.Logger // nil: nothing is logged
}

// Sandbox makes places for processes. A nil Sandbox starts them as the
// server's user, with no isolation and no group. Its methods are safe for
// concurrent use.
type Sandbox struct {
	given       string // the home as Specs name it
	home        string // without symbolic links
	first, last int
	binds       []hop3.BindRule
	tree        *cgroup.Tree // nil: there are no groups
	isolation   error
	limits      error

	mu   sync.Mutex // one app gets its user at a time
	next int        // the next user to try
}

// Open finds out what this process may do, and says so once in the log.
func Open(o Options) (*Sandbox, error) {
	home, err := filepath.EvalSymlinks(o.Home)
	if err != nil || !filepath.IsAbs(home) {
		return nil, fmt.Errorf("finding the home %q: %w", o.Home, errors.Join(err, errIfNot(filepath.IsAbs(o.Home), "it is not an absolute path")))
	}
	if home == "/" || home == "/tmp" || home == "/var/tmp" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the home cannot be %s", home)
	}
	if o.FirstUID == 0 && o.LastUID == 0 {
		o.FirstUID, o.LastUID = 70000, 79999
	}
	if o.FirstUID < 1000 || o.LastUID < o.FirstUID {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%d to %d cannot be the users of apps", o.FirstUID, o.LastUID).
			WithHint("Numbers below 1000 belong to the system.")
	}
	sum := sha256.Sum256([]byte(home))
	s := &Sandbox{
		given: filepath.Clean(o.Home), home: home, first: o.FirstUID, last: o.LastUID, binds: o.Binds,
		next: o.FirstUID + (int(sum[0])<<16|int(sum[1])<<8|int(sum[2]))%(o.LastUID-o.FirstUID+1),
	}
	if s.tree, err = cgroup.Open(hex.EncodeToString(sum[:6])); err != nil {
		s.limits = fmt.Errorf("control groups cannot be used: %w", err)
	} else if missing := s.tree.Missing(); len(missing) > 0 {
		s.limits = fmt.Errorf("the kernel gives this server no control group controller for: %s", strings.Join(missing, ", "))
	}
	switch o.Mode {
	case "", Auto, Required:
		s.isolation = s.try()
	case Off:
		s.isolation = errors.New("isolation is switched off in the server's configuration")
	default:
		return nil, hop3.Errorf(hop3.CodeInvalid, "%q is not a mode of isolation", o.Mode).
			WithHint("Choose auto, required or off.")
	}
	if o.Mode == Required && s.isolation != nil {
		err := hop3.Errorf(hop3.CodeUnavailable, "apps cannot be isolated from each other, which this server requires: %w", s.isolation)
		return nil, errors.Join(err, s.Close())
	}
	s.report(o)
	return s, nil
}

func errIfNot(ok bool, text string) error {
	if ok {
		return nil
	}
	return errors.New(text)
}

// report says in the log what apps are protected by.
func (s *Sandbox) report(o Options) {
	if o.Logger == nil {
		return
	}
	switch {
	case o.Mode == Off:
		o.Logger.Info("apps are not isolated from each other: " + s.isolation.Error())
	case s.isolation != nil:
		o.Logger.Warn("apps are not isolated from each other and could read the server's secrets: " + oneLine(s.isolation))
	}
	if s.limits != nil {
		o.Logger.Warn("limits of memory, CPU or processes are not enforced: " + oneLine(s.limits))
	}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// Isolation returns nil when the processes of apps are isolated, else an error
// whose text says why they are not.
func (s *Sandbox) Isolation() error {
	if s == nil {
		return errors.New("there is no sandbox")
	}
	return s.isolation
}

// Limits returns nil when limits are enforced, else an error whose text says
// why they are not.
func (s *Sandbox) Limits() error {
	if s == nil {
		return errors.New("there is no sandbox")
	}
	return s.limits
}

// Pids returns the processes of a group; none when there are no groups.
func (s *Sandbox) Pids(group string) ([]int, error) {
	if s == nil || s.tree == nil {
		return nil, nil
	}
	return s.tree.Pids(group)
}

// Kill kills all processes of a group, also those that start meanwhile, and
// returns when none is left or ctx is done.
func (s *Sandbox) Kill(ctx context.Context, group string) error {
	if s == nil || s.tree == nil {
		return nil
	}
	return s.tree.Kill(ctx, group)
}

// Remove forgets a group without processes.
func (s *Sandbox) Remove(group string) error {
	if s == nil || s.tree == nil {
		return nil
	}
	return s.tree.Remove(group)
}

// OOMKills returns how many processes of a group were killed for want of
// memory.
func (s *Sandbox) OOMKills(group string) int {
	if s == nil || s.tree == nil {
		return 0
	}
	u, err := s.tree.Usage(group)
	if err != nil {
		return 0
	}
	return u.OOMKills
}

// Usage returns the memory in bytes that a group uses now, and the CPU time in
// nanoseconds it has used; false when that is not known.
func (s *Sandbox) Usage(group string) (memory, cpu int64, ok bool) {
	if s == nil || s.tree == nil {
		return 0, 0, false
	}
	u, err := s.tree.Usage(group)
	return u.Memory, u.CPU, err == nil
}

// Forget removes what Prepare made for an app outside of its own directory:
// its groups, when they are without processes, and its entries of users.
func (s *Sandbox) Forget(app string) error {
	if s == nil || !isName(app) {
		return nil
	}
	return errors.Join(s.Remove("apps/"+app), s.Remove("builds/"+app), s.forgetUsers(app))
}

// Close removes the server's own group when it has no processes: those of
// apps go on without this server, in their groups.
func (s *Sandbox) Close() error {
	if s == nil || s.tree == nil {
		return nil
	}
	if pids, err := s.tree.Pids(""); err != nil || len(pids) > 0 {
		return err
	}
	return s.tree.Remove("")
}
