package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// accounting is the v1 controller that counts CPU time. It limits nothing.
const accounting = "cpuacct"

// v1 is a set of hierarchies, each with some of the controllers.
type v1 struct {
	host host
	at   map[string]string // controller -> directory of the server's group
	all  []string          // the directories, each once
}

func openV1(h host, name string) (*v1, error) {
	t := &v1{host: h, at: map[string]string{}}
	var failed error
	for _, c := range []string{Processes, Memory, CPU, accounting} {
		m, ok := h.find(c)
		if !ok {
			continue
		}
		dir := filepath.Join(m.dir, h.place(m, c), name)
		if err := t.open(dir, c); err != nil {
			failed = errors.Join(failed, fmt.Errorf("the control group %s cannot be made: %w", dir, err))
			continue
		}
		t.at[c] = dir
		if !slices.Contains(t.all, dir) {
			t.all = append(t.all, dir)
		}
	}
	if len(t.missing()) == 3 {
		if failed == nil {
			failed = errors.New("the kernel has no control groups with a memory, cpu or pids controller mounted")
		}
		return nil, failed
	}
	return t, nil
}

// open makes the server's group. On old kernels limits hold for the groups
// below only when that is said before there are any.
func (t *v1) open(dir, controller string) error {
	if err := t.host.makeDir(dir); err != nil {
		return err
	}
	if controller != Memory {
		return nil
	}
	if flag, err := read(dir, "memory.use_hierarchy"); err == nil && flag == "0" {
		return write(dir, "memory.use_hierarchy", "1")
	}
	return nil
}

func (t *v1) unified() bool { return false }

func (t *v1) missing() []string {
	var have []string
	for c := range t.at {
		have = append(have, c)
	}
	return without(have)
}

func (t *v1) dirs(group string) []string {
	dirs := make([]string, len(t.all))
	for i, dir := range t.all {
		dirs[i] = filepath.Join(dir, group)
	}
	return dirs
}

func (t *v1) make(group string) error {
	if group == "" {
		for controller, dir := range t.at {
			if err := t.open(dir, controller); err != nil {
				return err
			}
		}
		return nil
	}
	for _, dir := range t.dirs(group) {
		if err := t.host.makeDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// none is how v1 writes that there is no limit.
const none = "-1"

func (t *v1) limit(group string, l Limits) error {
	var failed error
	if at, ok := t.at[Memory]; ok {
		failed = limitMemoryV1(filepath.Join(at, group), l.Memory)
	}
	if at, ok := t.at[CPU]; ok {
		failed = errors.Join(failed, limitCPUV1(filepath.Join(at, group), l))
	}
	if at, ok := t.at[Processes]; ok {
		failed = errors.Join(failed, write(filepath.Join(at, group), "pids.max", orMax(int64(l.Processes))))
	}
	return failed
}

// limitMemoryV1 goes by way of no limit: memory with swap may never be limited
// below memory alone.
func limitMemoryV1(dir string, bytes int64) error {
	const memory, both = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
	if err := writeIfThere(dir, both, none); err != nil {
		return err
	}
	if bytes <= 0 {
		return write(dir, memory, none)
	}
	limit := strconv.FormatInt(bytes, 10)
	if err := write(dir, memory, limit); err != nil {
		return err
	}
	return writeIfThere(dir, both, limit)
}

func limitCPUV1(dir string, l Limits) error {
	weight := 100
	if l.Weight > 0 {
		weight = min(l.Weight, 10_000)
	}
	if err := write(dir, "cpu.shares", strconv.Itoa(max(2, weight*1024/100))); err != nil {
		return err
	}
	share := none
	if l.CPU > 0 {
		share = strconv.FormatInt(quota(l.CPU), 10)
		if err := writeIfThere(dir, "cpu.cfs_period_us", strconv.Itoa(cpuPeriod)); err != nil {
			return err
		}
	}
	return writeIfThere(dir, "cpu.cfs_quota_us", share)
}

func (t *v1) usage(group string) (u Usage, err error) {
	var failed [4]error
	if at, ok := t.at[Memory]; ok {
		dir := filepath.Join(at, group)
		u.Memory, failed[0] = number(dir, "memory.usage_in_bytes")
		u.OOMKills, failed[1] = oomKillsV1(dir)
	}
	if at, ok := t.at[Processes]; ok {
		var n int64
		n, failed[2] = number(filepath.Join(at, group), "pids.current")
		u.Processes = int(n)
	}
	if at, ok := t.at[accounting]; ok {
		u.CPU, failed[3] = number(filepath.Join(at, group), "cpuacct.usage")
	}
	return u, errors.Join(failed[:]...)
}

// oomKillsV1 adds up what each group below counts for itself.
func oomKillsV1(dir string) (int, error) {
	n, err := field(dir, "memory.oom_control", "oom_kill")
	if err != nil {
		return 0, err
	}
	below, err := subdirs(dir)
	for _, d := range below {
		more, belowErr := oomKillsV1(d)
		if !errors.Is(belowErr, fs.ErrNotExist) && !errors.Is(belowErr, os.ErrClosed) {
			err = errors.Join(err, belowErr)
		}
		n += int64(more)
	}
	return int(n), err
}

func (t *v1) killAll(string) bool { return false }
