package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
)

const (
	// weight is the share of a busy CPU that all builds have together, beside
	// the apps' 100.
	weight = 20
	// clearTime bounds how long the end of a build waits for what it left
	// running: a process that the kernel holds fast cannot be waited for.
	clearTime = 20 * time.Second
)

// place is where the commands of one build run: as the app's user, who may
// write to the source and the cache, in the group builds/<app>. A nil place is
// that of the server itself.
type place struct {
	sandbox *sandbox.Sandbox
	plan    *sandbox.Plan
	spec    sandbox.Spec
	memory  int64 // bytes
}

// prepare makes the place of a build.
func (at Place) prepare(req hop3.BuildRequest) (*place, error) {
	if at.Sandbox == nil || req.AppDir == "" {
		return nil, nil
	}
	p := &place{sandbox: at.Sandbox, memory: at.Memory}
	if p.memory <= 0 {
		p.memory = mostMemory()
	}
	group := "builds/" + req.App
	p.spec = sandbox.Spec{
		App: req.App, Group: group, Capped: group,
		Limits: hop3.Limits{Memory: p.memory}, Weight: weight,
		AppDir: req.AppDir, Writable: []string{req.CacheDir, req.Source},
	}
	// An earlier server may have died in the middle of a build.
	if err := p.clear(); err != nil {
		return nil, err
	}
	var err error
	if p.plan, err = at.Sandbox.Prepare(p.spec); err != nil {
		return nil, fmt.Errorf("preparing the place of the build: %w", err)
	}
	return p, nil
}

// mostMemory is three quarters of the machine's memory.
func mostMemory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return int64(uint64(info.Totalram)*uint64(info.Unit)) / 4 * 3
}

// clear ends what is left of a build, also what has left its command's process
// group.
func (p *place) clear() error {
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), clearTime)
	defer cancel()
	if err := p.sandbox.Kill(ctx, p.spec.Group); err != nil {
		return fmt.Errorf("ending what is left of a build: %w", err)
	}
	return p.sandbox.Remove(p.spec.Group)
}

func (p *place) start(cmd *exec.Cmd) error {
	if p == nil {
		return cmd.Start()
	}
	return p.plan.Start(cmd)
}

func (p *place) oomKills() int {
	if p == nil {
		return 0
	}
	return p.sandbox.OOMKills(p.spec.Group)
}

// makeDir makes a directory in the source or the cache as the build's user.
func (p *place) makeDir(dir string) error {
	if p == nil {
		return os.MkdirAll(dir, 0o755)
	}
	return p.plan.As(func() error { return os.MkdirAll(dir, 0o755) })
}

// as calls f with the rights of the build's user to files: commands of the
// developer have run in the source and the cache, and links they left there
// must not lead a toolchain elsewhere. The output f is given goes to out with
// the server's rights: it may be written to a file.
func (p *place) as(out hop3.Output, f func(out hop3.Output) error) error {
	if p == nil || p.plan.View == nil {
		return f(out)
	}
	type shown struct {
		line hop3.LogLine
		done chan struct{}
	}
	lines := make(chan shown)
	result := make(chan error, 1)
	go func() {
		// As recovers from panics.
		result <- p.plan.As(func() error {
			return f(hop3.OutputFunc(func(line hop3.LogLine) {
				s := shown{line: line, done: make(chan struct{})}
				lines <- s
				<-s.done
			}))
		})
	}()
	for {
		select {
		case s := <-lines:
			out.Log(s.line)
			close(s.done)
		case err := <-result:
			return err
		}
	}
}

// size writes bytes as people do.
func size(bytes int64) string {
	if bytes >= 10<<30 {
		return fmt.Sprintf("%d GiB", bytes>>30)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}
