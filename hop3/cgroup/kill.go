package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Pids returns the processes of a group and of all below it; none when there
// is no such group.
func (t *Tree) Pids(group string) ([]int, error) {
	if err := check(group); err != nil {
		return nil, err
	}
	pids, err := t.pids(group)
	// On v1 a thread of ours that is about to start a process there counts
	// as all of us.
	return slices.DeleteFunc(pids, func(pid int) bool { return pid == os.Getpid() }), err
}

func (t *Tree) pids(group string) ([]int, error) {
	pids, err := pidsBelow(t.dirs(group)[0], nil)
	if err != nil {
		return nil, fmt.Errorf("listing the control group %s: %w", group, err)
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

func pidsBelow(dir string, pids []int) ([]int, error) {
	text, err := read(dir, "cgroup.procs")
	if gone(err) {
		return pids, nil
	}
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Fields(text) {
		if pid, err := strconv.Atoi(line); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	below, err := subdirs(dir)
	if err != nil && !gone(err) {
		return nil, err
	}
	for _, d := range below {
		if pids, err = pidsBelow(d, pids); err != nil {
			return nil, err
		}
	}
	return pids, nil
}

// gone reports whether a group was removed, perhaps while it was read.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV)
}

// Kill kills all processes of a group and of all below it, also those that
// start meanwhile, and returns when none is left or ctx is done. Killing what
// is not there is no error. The calling process itself is spared.
func (t *Tree) Kill(ctx context.Context, group string) error {
	if err := check(group); err != nil {
		return err
	}
	defer t.stopForks(group)()
	deadline := time.Now().Add(removeTime)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		pids, err := t.pids(group)
		if err != nil {
			return err
		}
		if len(pids) == 0 || len(pids) == 1 && pids[0] == os.Getpid() && time.Now().After(deadline) {
			return nil
		}
		t.kill(group, pids)
		select {
		case <-ctx.Done():
			return fmt.Errorf("killing the control group %s: %d processes are left: %w", group, len(pids), context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

func (t *Tree) kill(group string, pids []int) {
	if slices.Contains(pids, os.Getpid()) || !t.killAll(group) {
		for _, pid := range pids {
			if pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			}
		}
	}
}

// stopped is a group that may not fork, and what it might before.
type stopped struct {
	users  int
	before string
}

// stopForks keeps the processes of a group from making new ones until restart
// is called: faster than any loop that kills them one by one.
func (t *Tree) stopForks(group string) (restart func()) {
	var dir string
	for _, d := range t.dirs(group) {
		if _, err := os.Stat(filepath.Join(d, "pids.max")); err == nil {
			dir = d
		}
	}
	if dir == "" {
		return func() {}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stopped[group]
	if s == nil {
		before, err := read(dir, "pids.max")
		if err != nil || write(dir, "pids.max", "0") != nil {
			return func() {}
		}
		s = &stopped{before: before}
		if t.stopped == nil {
			t.stopped = map[string]*stopped{}
		}
		t.stopped[group] = s
	}
	s.users++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if s.users--; s.users == 0 {
			delete(t.stopped, group)
			_ = write(dir, "pids.max", s.before) // it may have been removed
		}
	}
}

// removeTime bounds how long Remove tries. The kernel says that a group is
// busy for a moment after its last process has ended.
const removeTime = 2 * time.Second

// Remove removes a group without processes and all below it, and those above
// it that have nothing else below them. Removing what is not there is no error.
func (t *Tree) Remove(group string) error {
	if err := check(group); err != nil {
		return err
	}
	var failed error
	deadline := time.Now().Add(removeTime)
	for _, dir := range t.dirs(group) {
		if err := remove(dir, deadline); err != nil {
			failed = errors.Join(failed, fmt.Errorf("removing the control group %s: %w", group, err))
		}
	}
	if failed == nil && group != "" {
		t.prune(parent(group))
	}
	return failed
}

// prune removes groups that have nothing in them, from one upwards.
func (t *Tree) prune(group string) {
	for {
		for _, dir := range t.dirs(group) {
			// What is left, is in use.
			if err := syscall.Rmdir(dir); err != nil && !gone(err) {
				return
			}
		}
		if group == "" {
			return
		}
		group = parent(group)
	}
}

// parent is the group above; that of the first ones is the server's.
func parent(group string) string {
	if i := strings.LastIndexByte(group, '/'); i >= 0 {
		return group[:i]
	}
	return ""
}

func remove(dir string, deadline time.Time) error {
	below, err := subdirs(dir)
	if err != nil {
		return err
	}
	for _, d := range below {
		if err := remove(d, deadline); err != nil {
			return err
		}
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := syscall.Rmdir(dir)
		if err == nil || gone(err) {
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.EINTR) || time.Now().After(deadline) {
			return &os.PathError{Op: "rmdir", Path: dir, Err: err}
		}
		time.Sleep(wait)
	}
}
