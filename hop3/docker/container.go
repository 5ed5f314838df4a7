package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/abilian/hop3/hop3"
)

// The labels of containers and images.
const (
	labelHome    = "hop3.home"
	labelApp     = "hop3.app"
	labelRelease = "hop3.release"
)

// capabilities are those that containers keep: what images need whose first
// process is root's and starts others as somebody else. Docker's own list has
// more: sending raw packets to the containers of other apps, making devices.
var capabilities = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE"}

// containerConfig is the body of POST /containers/create.
type containerConfig struct {
	Image        string
	Cmd          []string `json:",omitempty"`
	Env          []string
	Labels       map[string]string
	ExposedPorts map[string]struct{} `json:",omitempty"`
	OpenStdin    bool
	StdinOnce    bool
	Tty          bool
	HostConfig   hostConfig
}

type hostConfig struct {
	PortBindings map[string][]portBinding `json:",omitempty"`
	Memory       int64                    `json:",omitempty"`
	MemorySwap   int64                    `json:",omitempty"` // with Memory, not besides it
	NanoCpus     int64                    `json:",omitempty"`
	PidsLimit    int64                    `json:",omitempty"`
	CapDrop      []string
	CapAdd       []string
	SecurityOpt  []string
	Ulimits      []ulimit
	Init         bool
	LogConfig    struct{ Type string }
	Mounts       []mount `json:",omitempty"`
	ExtraHosts   []string
	ConsoleSize  []uint16 `json:",omitempty"` // rows, columns
}

type portBinding struct{ HostIp, HostPort string }

type ulimit struct {
	Name       string
	Soft, Hard int64
}

type mount struct {
	Type, Source, Target string
	VolumeOptions        *volumeOptions `json:",omitempty"`
}

type volumeOptions struct {
	Labels       map[string]string
	DriverConfig struct {
		Name    string
		Options map[string]string
	}
}

// Create implements hop3.ContainerEngine.
func (e *Engine) Create(ctx context.Context, c hop3.ContainerRun) (argv, env []string, err error) {
	args := []string{"start", "--attach"}
	if c.Stdin {
		args = append(args, "--interactive")
	}
	name := e.prefix + "." + c.Name
	if argv, env, err = e.program(append(args, name)...); err != nil {
		return nil, nil, err
	}
	config, query := e.config(c), url.Values{"name": {name}}
	err = e.api.post(ctx, "/containers/create", query, config, nil)
	if refused(err, http.StatusConflict) { // a crash left one
		if err := e.Remove(ctx, c.Name); err != nil {
			return nil, nil, err
		}
		err = e.api.post(ctx, "/containers/create", query, config, nil)
	}
	switch {
	case refused(err, http.StatusNotFound):
		return nil, nil, hop3.Errorf(hop3.CodeDeploy, "the image of release v%d of '%s' is not there any more: %w", c.ID.Number, c.ID.App, err).
			WithHint("Push the app again, which builds it.")
	case errors.As(err, new(*refusal)):
		return nil, nil, hop3.Errorf(hop3.CodeDeploy, "the container cannot be made: %w", err)
	case err != nil:
		return nil, nil, fmt.Errorf("making the container: %w", err)
	}
	return argv, env, nil
}

func (e *Engine) config(c hop3.ContainerRun) containerConfig {
	labels := map[string]string{labelHome: e.prefix, labelApp: c.ID.App, labelRelease: strconv.Itoa(c.ID.Number)}
	config := containerConfig{
		Image: c.Image, Cmd: c.Args, Env: c.Env.Environ(), Labels: labels,
		OpenStdin: c.Stdin, StdinOnce: c.Stdin, Tty: c.TTY,
	}
	h := &config.HostConfig
	h.Memory, h.MemorySwap, h.PidsLimit = c.Limits.Memory, c.Limits.Memory, int64(c.Limits.Processes)
	h.NanoCpus = int64(c.Limits.CPU * 1e9)
	h.CapDrop, h.CapAdd, h.SecurityOpt = []string{"ALL"}, capabilities, []string{"no-new-privileges"}
	h.Ulimits = []ulimit{{Name: "core"}} // nothing writes its memory to the disk
	h.Init = true
	h.LogConfig.Type = "none" // who is attached writes the log
	h.ExtraHosts = []string{"host.docker.internal:host-gateway"}
	if c.TTY && c.Rows > 0 && c.Columns > 0 {
		h.ConsoleSize = []uint16{c.Rows, c.Columns}
	}
	if c.Host != 0 {
		inside := fmt.Sprintf("%d/tcp", c.Port)
		config.ExposedPorts = map[string]struct{}{inside: {}}
		h.PortBindings = map[string][]portBinding{inside: {{HostIp: "127.0.0.1", HostPort: strconv.Itoa(c.Host)}}}
	}
	for _, m := range c.Mounts {
		// As a volume of Docker's and not as a bind mount: an empty one is
		// filled with what the image has there, its owner first.
		o := &volumeOptions{Labels: map[string]string{labelHome: e.prefix, labelApp: c.ID.App}}
		o.DriverConfig.Name = "local"
		o.DriverConfig.Options = map[string]string{"type": "none", "o": "bind", "device": m.Source}
		h.Mounts = append(h.Mounts, mount{Type: "volume", Source: e.volumePrefix(c.ID.App) + m.Name, Target: m.Target, VolumeOptions: o})
	}
	return config
}

func (e *Engine) volumePrefix(app string) string { return e.prefix + "." + app + "." }

// state is what an inspection tells of a container.
type state struct {
	Config struct{ StopSignal string }
	State  struct {
		Status    string
		Running   bool
		OOMKilled bool
		ExitCode  int
		Error     string
	}
}

func (e *Engine) inspect(ctx context.Context, name string) (s state, err error) {
	return s, e.api.get(ctx, "/containers/"+e.prefix+"."+name+"/json", nil, &s)
}

// Terminate implements hop3.ContainerEngine.
func (e *Engine) Terminate(ctx context.Context, name string) error {
	s, err := e.inspect(ctx, name)
	if err != nil {
		return err
	}
	if !s.State.Running {
		return errors.New("it does not run")
	}
	signal := s.Config.StopSignal
	if signal == "" {
		signal = "SIGTERM"
	}
	return e.api.post(ctx, "/containers/"+e.prefix+"."+name+"/kill", url.Values{"signal": {signal}}, nil, nil)
}

// Remove implements hop3.ContainerEngine.
func (e *Engine) Remove(ctx context.Context, name string) error {
	path := "/containers/" + e.prefix + "." + name
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := e.api.delete(ctx, path, url.Values{"force": {"1"}, "v": {"1"}})
		switch {
		case refused(err, http.StatusNotFound):
			return nil
		case err != nil && !refused(err, http.StatusConflict): // conflict: it is being removed
			if e.gone(err) {
				return nil
			}
			return fmt.Errorf("removing the container %s.%s: %w", e.prefix, name, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("removing the container %s.%s: %w", e.prefix, name, ctx.Err())
		}
	}
}

// gone reports whether an error means that there is no engine any more, and
// with it no container: its socket is not there.
func (e *Engine) gone(err error) bool {
	return errors.Is(err, syscall.ENOENT)
}

// Exit implements hop3.ContainerEngine.
func (e *Engine) Exit(ctx context.Context, name string) string {
	s, err := e.inspect(ctx, name)
	if err != nil {
		return "unknown"
	}
	const signalled = 128
	switch code := s.State.ExitCode; {
	case s.State.Running:
		return "what was attached to its container ended"
	case s.State.Error != "":
		return "the container could not be started: " + oneLine(s.State.Error)
	case code == signalled+int(syscall.SIGKILL) && s.State.OOMKilled:
		return "out of memory"
	case code > signalled && code <= signalled+31:
		return "signal: " + syscall.Signal(code-signalled).String()
	default:
		return "exit status " + strconv.Itoa(code)
	}
}

// List implements hop3.ContainerEngine.
func (e *Engine) List(ctx context.Context) ([]string, error) {
	if e.Missing(ctx) != nil {
		return nil, nil
	}
	filters, err := json.Marshal(map[string][]string{"label": {labelHome + "=" + e.prefix}})
	if err != nil {
		return nil, err
	}
	var found []struct{ Names []string }
	if err := e.api.get(ctx, "/containers/json", url.Values{"all": {"1"}, "filters": {string(filters)}}, &found); err != nil {
		return nil, err
	}
	var names []string
	for _, c := range found {
		for _, name := range c.Names {
			if own, ok := strings.CutPrefix(name, "/"+e.prefix+"."); ok {
				names = append(names, own)
			}
		}
	}
	return names, nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
