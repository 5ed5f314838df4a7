package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startByHand starts the release once more, as Hop3 has started it but on
// another port, and returns how long it takes until it answers.
func (a *app) startByHand(ctx context.Context) (time.Duration, error) {
	command, env, err := a.started()
	if err != nil {
		return 0, err
	}
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command("/bin/sh", "-c", "exec "+command)
	cmd.Dir, cmd.Env = filepath.Join(a.server.Home, "apps", a.name, "src"), append(env, "PORT="+strconv.Itoa(port))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	for {
		if _, err := get(ctx, port, a.name+".localhost"); err == nil {
			return time.Since(began), nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// started returns how the web process of the current release was started: the
// command as the supervisor has written it down, the environment as the kernel
// keeps it.
func (a *app) started() (command string, env []string, err error) {
	file := filepath.Join(a.server.Home, "run", "native", a.name, strconv.Itoa(a.release), "web.1.json")
	b, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	var state struct {
		Command string
		PID     int
	}
	if err := json.Unmarshal(b, &state); err != nil {
		return "", nil, fmt.Errorf("reading %s: %w", file, err)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", state.PID))
	if err != nil {
		return "", nil, err
	}
	env = strings.Split(strings.TrimSuffix(string(environ), "\x00"), "\x00")
	for i, e := range env {
		if path, ok := strings.CutPrefix(e, "PATH="); ok {
			env[i] = "PATH=" + a.searchPath(path)
		}
	}
	return state.Command, env, nil
}

// searchPath takes out of an app's PATH what a version manager's launcher has
// put there: the app is to be started through the launcher again.
func (a *app) searchPath(path string) string {
	servers := filepath.SplitList(os.Getenv("PATH"))
	return strings.Join(slices.DeleteFunc(filepath.SplitList(path), func(dir string) bool {
		return !strings.HasPrefix(dir, a.server.Home) && !slices.Contains(servers, dir)
	}), ":")
}
