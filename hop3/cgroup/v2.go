package cgroup

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// v2 is the unified hierarchy.
type v2 struct {
	host        host
	dir         string   // of the server's group
	controllers []string // those that groups below it have
}

// openV2 returns nil when there is no v2 with a controller we could use; the
// error says why there could have been.
func openV2(h host, name string) (*v2, error) {
	m, ok := h.find("")
	if !ok {
		return nil, nil
	}
	if len(usable(m.dir)) == 0 {
		return nil, nil // hybrid: v1 has them
	}
	base := filepath.Join(m.dir, h.place(m, ""))
	// Every group on the way has to hand the controllers down.
	var failed error
	dir := m.dir
	for _, part := range append([]string{""}, strings.FieldsFunc(strings.TrimPrefix(base, m.dir), isSlash)...) {
		dir = filepath.Join(dir, part)
		failed = errors.Join(failed, h.handDown(dir))
	}
	t := &v2{host: h, dir: filepath.Join(base, name)}
	if err := h.makeDir(t.dir); err != nil {
		return nil, fmt.Errorf("the control group %s cannot be made: %w", t.dir, err)
	}
	failed = errors.Join(failed, h.handDown(t.dir))
	t.controllers = handed(t.dir)
	if len(t.controllers) == 0 {
		if failed == nil {
			failed = fmt.Errorf("the control group %s has none of the controllers", base)
		}
		return nil, failed
	}
	return t, nil
}

func isSlash(r rune) bool { return r == '/' }

// usable returns the controllers we use of those that a group has.
func usable(dir string) []string { return ours(dir, "cgroup.controllers") }

// handed returns those that the groups below have.
func handed(dir string) []string { return ours(dir, "cgroup.subtree_control") }

func ours(dir, file string) []string {
	text, _ := read(dir, file)
	return slices.DeleteFunc(strings.Fields(text), func(c string) bool {
		return c != Memory && c != CPU && c != Processes
	})
}

// handDown gives the groups below dir its controllers. One by one: one that is
// refused does not stand in the way of the others.
func (h host) handDown(dir string) error {
	var failed error
	have := handed(dir)
	for _, c := range usable(dir) {
		if slices.Contains(have, c) {
			continue
		}
		if err := h.write(dir, "cgroup.subtree_control", "+"+c); err != nil {
			failed = errors.Join(failed, fmt.Errorf("the %s controller cannot be handed down: %w", c, err))
		}
	}
	return failed
}

func (t *v2) unified() bool { return true }

func (t *v2) missing() []string { return without(t.controllers) }

// without returns those of the controllers we use that are not among have.
func without(have []string) []string {
	return slices.DeleteFunc([]string{Memory, CPU, Processes}, func(c string) bool { return slices.Contains(have, c) })
}

func (t *v2) dirs(group string) []string { return []string{filepath.Join(t.dir, group)} }

// make hands controllers down in the parent, which thereby must have no
// processes of its own.
func (t *v2) make(group string) error {
	if group == "" {
		return t.host.makeDir(t.dir)
	}
	parent := filepath.Join(t.dir, filepath.Dir(group))
	if err := t.host.handDown(parent); err != nil {
		return err
	}
	return t.host.makeDir(filepath.Join(t.dir, group))
}

func (t *v2) limit(group string, l Limits) error {
	dir := filepath.Join(t.dir, group)
	var failed error
	for _, c := range t.controllers {
		switch c {
		case Memory:
			failed = errors.Join(failed, limitMemoryV2(dir, l.Memory))
		case CPU:
			weight := 100
			if l.Weight > 0 {
				weight = min(l.Weight, 10_000)
			}
			failed = errors.Join(failed, write(dir, "cpu.weight", strconv.Itoa(weight)), limitCPUV2(dir, l.CPU))
		case Processes:
			failed = errors.Join(failed, write(dir, "pids.max", orMax(int64(l.Processes))))
		}
	}
	return failed
}

// limitMemoryV2 forbids swap where memory is limited: otherwise an app over
// its limit would slow the machine down instead of ending.
func limitMemoryV2(dir string, bytes int64) error {
	swap := "max"
	if bytes > 0 {
		swap = "0"
	}
	return errors.Join(write(dir, "memory.max", orMax(bytes)), writeIfThere(dir, "memory.swap.max", swap))
}

func limitCPUV2(dir string, cores float64) error {
	share := "max"
	if cores > 0 {
		share = strconv.FormatInt(quota(cores), 10)
	}
	return write(dir, "cpu.max", fmt.Sprintf("%s %d", share, cpuPeriod))
}

func orMax(n int64) string {
	if n <= 0 {
		return "max"
	}
	return strconv.FormatInt(n, 10)
}

func (t *v2) usage(group string) (u Usage, err error) {
	dir := filepath.Join(t.dir, group)
	var failed [4]error
	if slices.Contains(t.controllers, Memory) {
		var kills int64
		u.Memory, failed[0] = number(dir, "memory.current")
		kills, failed[1] = field(dir, "memory.events", "oom_kill")
		u.OOMKills = int(kills)
	}
	if slices.Contains(t.controllers, Processes) {
		var n int64
		n, failed[2] = number(dir, "pids.current")
		u.Processes = int(n)
	}
	// The kernel counts CPU time without the controller, too.
	micros, err := field(dir, "cpu.stat", "usage_usec")
	u.CPU, failed[3] = micros*1000, err
	return u, errors.Join(failed[:]...)
}

func (t *v2) killAll(group string) bool {
	return write(filepath.Join(t.dir, group), "cgroup.kill", "1") == nil
}
