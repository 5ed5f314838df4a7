package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

// sameChecks is what Hop3 tells its git, as far as it changes the work: it
// checks every object and keeps to little memory.
var sameChecks = []string{
	"receive.fsckObjects=true",
	"core.bigFileThreshold=32m",
	"core.deltaBaseCacheLimit=32m",
	"core.packedGitWindowSize=32m",
	"core.packedGitLimit=256m",
	"pack.threads=1",
	"core.fsync=committed,reference",
	"core.fsyncMethod=batch",
}

// contestant receives pushes.
type contestant struct {
	name        string
	server      *subject.Server
	source      string
	throughHop3 bool
	idle        float64  // MB of the server before its first push
	settings    []string // of stock git
	pushes      []figures
}

// push pushes the whole repository to a new place.
func (c *contestant) push(ctx context.Context, round int) error {
	name := fmt.Sprintf("big-%d", round)
	target := c.server.Remote(name)
	stored := filepath.Join(c.server.Home, "apps", name, "git")
	if !c.throughHop3 {
		target = filepath.Join(c.server.Dir, name+".git")
		stored = target
		if err := c.initialise(ctx, target); err != nil {
			return err
		}
	}
	defer os.RemoveAll(stored)
	// The app and its repository are made by the first push to them.
	if err := c.server.Git(ctx, c.source, "push", "-q", target, "root:refs/heads/root"); err != nil {
		return err
	}
	if err := subject.ResetPeak(c.server.PID()); err != nil {
		return err
	}
	watch, stop := context.WithCancel(ctx)
	defer stop()
	peak := make(chan float64, 1)
	go func() { peak <- subject.WatchPeak(watch, "receive-pack", "index-pack", "unpack-objects") }()
	began := time.Now()
	err := c.server.Git(ctx, c.source, "push", "-q", target, "main:refs/heads/stored")
	f := figures{took: time.Since(began)}
	stop()
	f.git = <-peak
	if err != nil {
		return err
	}
	busy, err := subject.Peak(c.server.PID())
	if err != nil {
		return err
	}
	if c.throughHop3 {
		f.server = max(0, busy-c.idle)
	}
	c.pushes = append(c.pushes, f)
	return c.server.Git(ctx, stored, "cat-file", "-e", "refs/heads/stored^{tree}")
}

// initialise makes the repository that stock git receives into.
func (c *contestant) initialise(ctx context.Context, dir string) error {
	if err := c.server.Git(ctx, c.server.Dir, "init", "-q", "--bare", dir); err != nil {
		return err
	}
	for _, s := range append([]string{"receive.autogc=false"}, c.settings...) {
		key, value, _ := strings.Cut(s, "=")
		if err := c.server.Git(ctx, dir, "config", key, value); err != nil {
			return err
		}
	}
	return nil
}
