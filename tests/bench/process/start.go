package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
	"github.com/abilian/hop3/tests/bench/subject"
)

// opener is a module of hop3.runtimes.
type opener interface {
	Open(runDir string, box *sandbox.Sandbox, logger *zap.Logger) (hop3.Runtime, error)
}

// world is a runtime on a home of its own.
type world struct {
	home    string
	runtime hop3.Runtime
}

func openRuntime(name, home string) (*world, error) {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	info, err := caddy.GetModule("hop3.runtimes." + name)
	if err != nil {
		return nil, err
	}
	box, err := sandbox.Open(sandbox.Options{Home: home})
	if err != nil {
		return nil, err
	}
	r, err := info.New().(opener).Open(filepath.Join(home, "run", name), box, zap.NewNop())
	return &world{home: home, runtime: r}, err
}

// launch is a release of an app of one web process.
func (w *world) launch(app, program string, number, count int) (hop3.Launch, error) {
	dir := filepath.Join(w.home, "apps", app)
	release := filepath.Join(dir, "releases", strconv.Itoa(number))
	if err := os.MkdirAll(release, 0o755); err != nil {
		return hop3.Launch{}, err
	}
	err := copyFile(program, filepath.Join(release, "idleapp"))
	return hop3.Launch{
		ID: hop3.ReleaseID{App: app, Number: number}, Dir: release, LogDir: filepath.Join(dir, "log"), AppDir: dir,
		Env:       hop3.Env{"COLOUR": "blue", "HOME": filepath.Join(dir, "data")},
		Writable:  []string{filepath.Join(dir, "data")},
		Processes: []hop3.Process{{Type: hop3.ProcessWeb, Command: "./idleapp", Count: count}},
	}, err
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// measureStarts starts an instance by the runtime and by hand, in turn.
func measureStarts(ctx context.Context, name, program, home string, rounds int) (err error) {
	w, err := openRuntime(name, home)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.runtime.Close()) }()
	var under, alone []time.Duration
	for n := 1; n <= rounds; n++ {
		took, err := w.startOnce(ctx, program, n)
		if err != nil {
			return err
		}
		under = append(under, took)
		if took, err = startByHand(ctx, program); err != nil {
			return err
		}
		alone = append(alone, took)
	}
	a, b := ms(subject.Median(under)), ms(subject.Median(alone))
	fmt.Printf("start to first answer: %.1f ms, by hand %.1f ms: %.1f ms more, %.2f times\n", a, b, a-b, a/b)
	return nil
}

func (w *world) startOnce(ctx context.Context, program string, n int) (took time.Duration, err error) {
	l, err := w.launch("bench", program, n, 1)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.runtime.Stop(context.Background(), l.ID, 5*time.Second)) }()
	began := time.Now()
	started, err := w.runtime.Start(ctx, l)
	if err != nil {
		return 0, err
	}
	if err := answers(ctx, started[0].Upstream); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

func startByHand(ctx context.Context, program string) (time.Duration, error) {
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	cmd, err := byHand(program, port)
	if err != nil {
		return 0, err
	}
	defer end(cmd)
	if err := answers(ctx, "127.0.0.1:"+port); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// byHand starts the program as a person would in a shell.
func byHand(program, port string) (*exec.Cmd, error) {
	cmd := exec.Command("/bin/sh", "-c", "exec "+program)
	cmd.Env = []string{"PORT=" + port, "COLOUR=blue", "PATH=" + os.Getenv("PATH")}
	return cmd, cmd.Start()
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// answers returns once an upstream has answered a request.
func answers(ctx context.Context, upstream string) error {
	network, address := "tcp", upstream
	if path, ok := strings.CutPrefix(upstream, "unix/"); ok {
		network, address = "unix", path
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
	for deadline := time.Now().Add(30 * time.Second); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://app/", nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err == nil {
			return res.Body.Close()
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// measureMemory compares idle instances of the runtime, with all that belongs
// to it, with the same number of processes started by hand.
func measureMemory(ctx context.Context, name, program, home string, count int) (err error) {
	alone, err := memoryByHand(ctx, program, count)
	if err != nil {
		return err
	}
	w, err := openRuntime(name, home)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.runtime.Close()) }()
	before, err := allPSS()
	if err != nil {
		return err
	}
	l, err := w.launch("idle", program, 1, count)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.runtime.Stop(context.Background(), l.ID, 5*time.Second)) }()
	started, err := w.runtime.Start(ctx, l)
	if err != nil {
		return err
	}
	for _, i := range started {
		if err := answers(ctx, i.Upstream); err != nil {
			return err
		}
	}
	after, err := allPSS()
	if err != nil {
		return err
	}
	each := (after - before - alone) / float64(count)
	what := "MB of the runtime for each idle instance"
	if name == "native" {
		subject.Verdict(what, each, "<=", 0.5)
	} else {
		fmt.Printf("%-58s %8.3f\n", what, each)
	}
	return nil
}

func memoryByHand(ctx context.Context, program string, count int) (float64, error) {
	before, err := allPSS()
	if err != nil {
		return 0, err
	}
	for range count {
		port, err := freePort()
		if err != nil {
			return 0, err
		}
		cmd, err := byHand(program, port)
		if err != nil {
			return 0, err
		}
		defer end(cmd)
		if err := answers(ctx, "127.0.0.1:"+port); err != nil {
			return 0, err
		}
	}
	after, err := allPSS()
	return after - before, err
}

// allPSS is the memory in MB of this process and of all that descends from it
// or names its instances: emperors and their vassals too.
func allPSS() (sum float64, err error) {
	debug.FreeOSMemory()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !ours(pid) {
			continue
		}
		if pss, err := subject.PSS(pid); err == nil { // otherwise it has just ended
			sum += pss
		}
	}
	return sum, nil
}

// ours reports whether a process was started since we were.
func ours(pid int) bool {
	if pid == os.Getpid() {
		return true
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return false
	}
	name := filepath.Base(program)
	return name == "idleapp" || strings.HasPrefix(name, "uwsgi")
}
