package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Sweep cleans up after an earlier server process of this home that was killed:
// it ends the git processes that process left, then removes what they left in
// the repositories. Call it before the first Receive.
func (r *Repositories) Sweep(ctx context.Context) error {
	if err := r.killLeftovers(ctx); err != nil {
		return fmt.Errorf("sweeping the repositories: %w", err)
	}
	apps := filepath.Join(r.home, "apps")
	if err := removeAll(apps, "*/"+newPrefix+"*", "*/"+removedPrefix+"*"); err != nil {
		return fmt.Errorf("sweeping the repositories: %w", err)
	}
	repos, err := fs.Glob(os.DirFS(apps), "*/git")
	if err != nil {
		return fmt.Errorf("sweeping the repositories: %w", err)
	}
	for _, name := range repos {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := sweepRepository(filepath.Join(apps, name)); err != nil {
			return fmt.Errorf("sweeping %s: %w", name, err)
		}
	}
	return nil
}

// sweepRepository removes unfinished objects, which can be as large as a push,
// and locks, which would make git refuse to touch what they protect.
func sweepRepository(dir string) error {
	err := removeAll(dir,
		"checkout-*",
		"*.lock",
		"shallow_*",
		"objects/tmp_objdir-*",
		"objects/??/tmp_obj_*",
		"objects/pack/tmp_*",
		"objects/pack/.tmp-*",
	)
	if err != nil {
		return err
	}
	return filepath.WalkDir(filepath.Join(dir, "refs"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(name, ".lock") {
			err = os.Remove(name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// removeAll removes what matches one of the patterns below dir.
func removeAll(dir string, patterns ...string) error {
	var errs []error
	for _, pattern := range patterns {
		names, err := fs.Glob(os.DirFS(dir), pattern)
		errs = append(errs, err)
		for _, name := range names {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
		}
	}
	return errors.Join(errs...)
}

// killLeftovers kills the process groups of another instance's children and
// waits until they are gone.
func (r *Repositories) killLeftovers(ctx context.Context) error {
	deadline := time.Now().Add(10 * time.Second)
	for first := true; ; first = false {
		left := r.leftovers()
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes of an earlier server do not end: %v", left)
		}
		if first {
			r.cfg.Logger.Warn("ending git processes of an earlier server", zap.Ints("pids", left))
		}
		for _, pid := range left {
			if pgid, err := unix.Getpgid(pid); err == nil && pgid > 1 && pgid != unix.Getpgrp() {
				killGroup(pgid, unix.SIGKILL)
			}
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// leftovers returns the processes that carry this home's mark and another
// instance's name.
func (r *Repositories) leftovers() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// Unreadable: another user's process, or gone. A zombie's is empty.
		environ, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && r.isLeftover(environ) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (r *Repositories) isLeftover(environ []byte) bool {
	var ofHome, ofOther bool
	for v := range bytes.SplitSeq(environ, []byte{0}) {
		key, value, _ := bytes.Cut(v, []byte("="))
		switch string(key) {
		case envHome:
			ofHome = string(value) == r.home
		case envInstance:
			ofOther = string(value) != r.instance
		}
	}
	return ofHome && ofOther
}
