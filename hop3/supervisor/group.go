package supervisor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
)

const (
	// memoryPause is how often the supervisor looks whether processes of
	// running instances were killed for want of memory.
	memoryPause = 3 * time.Second
	// memoryLinger is how soon after such a kill an instance ends of it: its
	// main process saw a child die.
	memoryLinger = 2 * time.Second
)

// releaseGroup is the control group of a release, which its limits are set on.
func (s *Supervisor) releaseGroup(id hop3.ReleaseID) string {
	return fmt.Sprintf("%s/%s/%d", s.options.Kind, id.App, id.Number)
}

// groupOf is the control group of an instance, below its release's.
func (s *Supervisor) groupOf(r *record) string {
	return fmt.Sprintf("%s/%s.%d", s.releaseGroup(r.id()), r.Type, r.Ordinal)
}

// owner is the name by which the sandbox knows whose processes they are. A
// service and an app of the same name are two: no app's has a '.'.
func (s *Supervisor) owner(id hop3.ReleaseID) string {
	if s.options.Kind == apps {
		return id.App
	}
	return id.App + "." + s.options.Kind
}

// prepare makes the place ready where processes of the launch run.
func (s *Supervisor) prepare(l *hop3.Launch, group, capped string) (*sandbox.Plan, error) {
	if s.options.Sandbox == nil {
		return nil, nil
	}
	spec := sandbox.Spec{
		App: s.owner(l.ID), Group: group, Capped: capped, Limits: l.Limits,
		AppDir: l.AppDir, Writable: l.Writable, ReadOnly: l.ReadOnly, Dir: l.Dir, Volumes: l.Volumes,
	}
	if l.Container != nil {
		// The engine's client has the server's rights, which the engine asks
		// for, and runs nothing of the app's. The engine sets the limits.
		spec = sandbox.Spec{App: s.owner(l.ID), Group: group, Capped: capped}
	}
	plan, err := s.options.Sandbox.Prepare(spec)
	if err != nil {
		return nil, fmt.Errorf("preparing the place of %s: %w", group, err)
	}
	return plan, nil
}

// removeGroup forgets a group whose processes have ended.
func (s *Supervisor) removeGroup(group string) {
	if s.options.Sandbox == nil {
		return
	}
	if err := s.options.Sandbox.Remove(group); err != nil {
		s.logger.Warn("removing a control group", zap.String("group", group), zap.Error(err))
	}
}

// oomKills returns how many processes of a group were killed for want of
// memory.
func (s *Supervisor) oomKills(group string) int {
	if s.options.Sandbox == nil {
		return 0
	}
	return s.options.Sandbox.OOMKills(group)
}

// outOfMemory is how a run ended that needed more memory than there was.
func outOfMemory(l hop3.Limits) string {
	if l.Memory == 0 {
		return "out of memory"
	}
	return fmt.Sprintf("out of memory (limit %s)", size(l.Memory))
}

// size writes a number of bytes as people do: "64 MiB".
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + units[unit]
}

// ranOut reports whether processes of the instance were killed for want of
// memory since anybody looked, or have just been.
func (i *instance) ranOut() bool {
	kills := i.s.oomKills(i.group)
	i.mu.Lock()
	defer i.mu.Unlock()
	grown := kills > i.rec.OOMKills
	i.rec.OOMKills = kills
	return grown || !i.oomAt.IsZero() && time.Since(i.oomAt) < memoryLinger
}

// noteOOM writes into the log of an instance that runs on that processes of it
// were killed for want of memory.
func (i *instance) noteOOM() {
	kills := i.s.oomKills(i.group)
	i.mu.Lock()
	grown := kills - i.rec.OOMKills
	if i.state != hop3.InstanceRunning || grown <= 0 {
		i.mu.Unlock()
		return
	}
	i.rec.OOMKills, i.oomAt = kills, time.Now()
	i.mu.Unlock()
	what := "one of its processes was"
	if grown > 1 {
		what = fmt.Sprintf("%d of its processes were", grown)
	}
	i.say("%s killed: %s", what, outOfMemory(i.launch.Limits))
	i.s.logger.Warn("an instance runs out of memory", zap.String("instance", i.marker), zap.Int("killed", grown))
}

// watchMemory notes, until ctx ends, what instances lose to their limit. One
// timer serves all of them: nothing the kernel tells of it costs less.
func (s *Supervisor) watchMemory(ctx context.Context) {
	tick := time.NewTicker(memoryPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, i := range s.limited() {
			i.noteOOM()
		}
	}
}

// limited returns the watched instances whose memory is limited.
func (s *Supervisor) limited() []*instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*instance
	for _, all := range s.releases {
		for _, i := range all {
			if i.launch.Limits.Memory > 0 {
				found = append(found, i)
			}
		}
	}
	return found
}

// forget makes sure that nobody but this supervisor starts the instances
// again.
func (s *Supervisor) forget(ctx context.Context, children ...Child) error {
	children = slices.DeleteFunc(children, func(c Child) bool { return c.Container != "" })
	if s.options.Launcher == nil {
		return nil
	}
	errs := make([]error, len(children))
	var all sync.WaitGroup
	for n, c := range children {
		all.Go(func() {
			s.guard("forgetting "+c.Marker, func() { errs[n] = s.options.Launcher.Forget(ctx, c) })
		})
	}
	all.Wait()
	if n := slices.IndexFunc(errs, func(err error) bool { return err != nil }); n >= 0 {
		c := children[n]
		return fmt.Errorf("taking %s.%d from its launcher: %w", c.Process.Type, c.Ordinal, errs[n])
	}
	return nil
}

// Usage implements hop3.UsageMeter by the control groups.
func (s *Supervisor) Usage(id hop3.ReleaseID, processType string, ordinal int) (hop3.Usage, bool) {
	group := s.options.Kind + "/" + id.App
	if id.Number != 0 {
		group = s.releaseGroup(id)
	}
	if processType != "" {
		group = fmt.Sprintf("%s/%s.%d", group, processType, ordinal)
	}
	memory, cpu, ok := s.options.Sandbox.Usage(group)
	return hop3.Usage{Memory: memory, CPU: time.Duration(cpu)}, ok
}
