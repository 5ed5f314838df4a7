package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

// measureServer measures a whole server: what its users wait for.
func measureServer(ctx context.Context, runtime, program, binary, dir string, rounds int) (err error) {
	s, err := subject.New(ctx, dir, binary)
	if err != nil {
		return err
	}
	s.Env = append(s.Env, "PROCESS_MANAGER="+runtime)
	if _, err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	for app, files := range map[string]map[string]string{
		"sleepy": {"Procfile": "web: ./idleapp\n", "hop3.toml": "[scaling.web]\nsleep-after = \"1s\"\n"},
		"steady": {"Procfile": "web: ./idleapp\n", "hop3.toml": "[env]\nBOOT_MS = 100\n"},
	} {
		if err := s.Push(ctx, app, files, program); err != nil {
			return err
		}
	}
	if err := measureWakes(ctx, s, program, rounds); err != nil {
		return err
	}
	return measureEnvSet(ctx, s, rounds)
}

// measureWakes times the first request to a sleeping app, and the app's own
// start by hand, in turn.
func measureWakes(ctx context.Context, s *subject.Server, program string, rounds int) error {
	var wakes, alone []time.Duration
	for range rounds {
		if err := asleep(ctx, s, "sleepy"); err != nil {
			return err
		}
		began := time.Now()
		if _, err := get(ctx, s, "sleepy"); err != nil {
			return err
		}
		wakes = append(wakes, time.Since(began))
		took, err := startByHand(ctx, program)
		if err != nil {
			return err
		}
		alone = append(alone, took)
	}
	a, b := ms(subject.Median(wakes)), ms(subject.Median(alone))
	fmt.Printf("first request to a sleeping app: %.1f ms, the app's own start %.1f ms\n", a, b)
	subject.Verdict("ms that waking an app takes above its own start, median", a-b, "<=", 150)
	return nil
}

// measureEnvSet times `hop3 env set` until the new value is served. The client
// is included.
func measureEnvSet(ctx context.Context, s *subject.Server, rounds int) error {
	var lives []time.Duration
	for n := range rounds {
		colour := fmt.Sprintf("colour-%d", n)
		began := time.Now()
		if out, err := s.Command(ctx, s.Dir, s.Binary, "env", "set", "--app", "steady", "COLOUR="+colour).CombinedOutput(); err != nil {
			return fmt.Errorf("env set: %w\n%s", err, out)
		}
		for {
			body, err := get(ctx, s, "steady")
			if err != nil {
				return err
			}
			if body == colour {
				break
			}
			time.Sleep(time.Millisecond)
		}
		lives = append(lives, time.Since(began))
	}
	subject.Verdict("seconds until `env set` is live, median", subject.Median(lives).Seconds(), "<=", 1)
	return nil
}

func get(ctx context.Context, s *subject.Server, app string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", s.HTTP), nil)
	if err != nil {
		return "", err
	}
	req.Host = app + ".localhost"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", app, res.Status, body)
	}
	return string(body), err
}

// asleep waits until `app status` says that an app sleeps.
func asleep(ctx context.Context, s *subject.Server, app string) error {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		out, err := s.Command(ctx, s.Dir, s.Binary, "app", "status", "--app", app).CombinedOutput()
		if err != nil {
			return fmt.Errorf("app status: %w\n%s", err, out)
		}
		if strings.Contains(strings.ToLower(string(out)), "asleep") {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("the app did not go to sleep")
}
