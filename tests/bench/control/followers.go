package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

// measureFollowers has many follow the log of one app, and then as many `tail
// -F` a file.
func measureFollowers(ctx context.Context, s *subject.Server, o options) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	hop3, err := followLog(ctx, s, o)
	if err != nil {
		return fmt.Errorf("following with Hop3: %w", err)
	}
	tail, err := followFile(ctx, s, o)
	if err != nil {
		return fmt.Errorf("following with tail: %w", err)
	}
	reportFollowers(hop3, tail, o)
	return nil
}

// followLog has many clients stream the log of an app.
func followLog(ctx context.Context, s *subject.Server, o options) (*crowd, error) {
	if err := s.Push(ctx, "followed", map[string]string{"Procfile": "worker: exec sh writer.sh\n", "writer.sh": writer}); err != nil {
		return nil, err
	}
	token, err := s.Token(ctx)
	if err != nil {
		return nil, err
	}
	before, err := subject.PSS(s.PID())
	if err != nil {
		return nil, err
	}
	c := newCrowd("Hop3", o.followers)
	ctx, cancel := context.WithCancel(ctx)
	defer c.reading.Wait()
	defer cancel()
	streams := &http.Client{Transport: &http.Transport{}}
	for _, f := range c.followers {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.API()+"/api/apps/followed/logs/stream?lines=1", nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := streams.Do(req)
		if err != nil {
			return nil, err
		}
		if res.StatusCode != http.StatusOK {
			return nil, errors.Join(errors.New(res.Status), res.Body.Close())
		}
		c.begin(f, res.Body)
	}
	trigger := filepath.Join(s.Home, "apps", "followed", "src", "burst")
	pids := []int{s.PID()}
	return c, c.measure(ctx, pids, before, o, func() error { return os.WriteFile(trigger, nil, 0o666) })
}

// followFile has as many processes of tail follow a file that the same program
// writes.
func followFile(ctx context.Context, s *subject.Server, o options) (*crowd, error) {
	dir := filepath.Join(s.Dir, "by-hand")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	ctx, cancel := context.WithCancel(ctx)
	writes := exec.CommandContext(ctx, "sh", "-c", writer)
	writes.Dir, writes.Stdout = dir, log
	if err := writes.Start(); err != nil {
		cancel()
		return nil, err
	}
	started := []*exec.Cmd{writes}
	c := newCrowd("tail -F", o.followers)
	defer func() {
		cancel()
		c.reading.Wait()
		for _, cmd := range started {
			_ = cmd.Wait() // it was ended
		}
	}()
	var pids []int
	for _, f := range c.followers {
		cmd := exec.CommandContext(ctx, "tail", "-n", "1", "-F", log.Name())
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		started = append(started, cmd)
		pids = append(pids, cmd.Process.Pid)
		c.begin(f, out)
	}
	return c, c.measure(ctx, pids, 0, o, func() error { return os.WriteFile(filepath.Join(dir, "burst"), nil, 0o666) })
}
