// Package traefik puts Traefik in front of the server: one of its own, that
// watches files below the home and gets the public sockets from us.
package traefik

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/front"
)

func init() {
	if filepath.Base(os.Args[0]) == listenName {
		becomeTraefik()
	}
	caddy.RegisterModule((*Traefik)(nil))
}

// Traefik is the program traefik, version 3.
type Traefik struct {
	// Binary is the path of the program; "" looks for it in PATH.
	Binary string `json:"binary,omitempty"`
}

var (
	_ caddy.Module  = (*Traefik)(nil)
	_ front.Program = (*Traefik)(nil)
)

// CaddyModule describes the module.
func (*Traefik) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.proxies.traefik", New: func() caddy.Module { return new(Traefik) }}
}

// Name returns "traefik".
func (*Traefik) Name() string { return "traefik" }

// UseBinary says where the program is; "" looks for it in PATH.
func (t *Traefik) UseBinary(path string) { t.Binary = path }

var versionLine = regexp.MustCompile(`Version:\s+(\S+)`)

// Find looks for Traefik where it was said to be, else in PATH.
func (t *Traefik) Find(ctx context.Context) (front.Binary, error) {
	name := t.Binary
	if name == "" {
		name = "traefik"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return front.Binary{}, hop3.Errorf(hop3.CodeUnavailable, "Traefik is not installed on the server: %w", err).
			WithHint("Put the program traefik, version 3, into the server's PATH, or say where it is with TRAEFIK_BIN.")
	}
	out, err := exec.CommandContext(ctx, path, "version").CombinedOutput()
	if err != nil {
		return front.Binary{}, hop3.Errorf(hop3.CodeUnavailable, "%s version: %w", path, err)
	}
	found := versionLine.FindSubmatch(out)
	if found == nil {
		return front.Binary{}, hop3.Errorf(hop3.CodeUnavailable, "%s does not say which Traefik it is", path)
	}
	version := string(found[1])
	if strings.HasPrefix(version, "1.") || strings.HasPrefix(version, "2.") {
		return front.Binary{}, hop3.Errorf(hop3.CodeUnavailable, "%s is Traefik %s; Hop3 needs version 3", path, version)
	}
	return front.Binary{Path: path, Version: version}, nil
}

// Refuses names what does not work behind Traefik: nothing so far.
func (*Traefik) Refuses(hop3.Route) []string { return nil }

// listenName is what our own program is called that becomes Traefik: systemd's
// protocol for open sockets (sd_listen_fds(3)) has the pid of who gets them,
// and that is known to the process itself only.
const listenName = "hop3-listen"

// becomeTraefik runs what the arguments say in our place.
func becomeTraefik() {
	err := os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	if err == nil && len(os.Args) > 1 {
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", listenName, err)
	os.Exit(1)
}

// Command starts Traefik.
func (t *Traefik) Command(b front.Binary, p front.Place) *exec.Cmd {
	var names []string
	for _, s := range p.Sockets {
		names = append(names, s.Name)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{listenName, b.Path}, arguments(p)...)
	cmd.Dir = p.Work
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.Work,
		"LISTEN_FDS=" + fmt.Sprint(len(names)), "LISTEN_FDNAMES=" + strings.Join(names, ":"),
	}
	return cmd
}

// arguments are Traefik's static configuration. There is no secret in it.
func arguments(p front.Place) []string {
	args := []string{
		"--global.checknewversion=false", "--global.sendanonymoususage=false",
		"--log.level=WARN", "--log.nocolor=true",
		"--providers.file.directory=" + p.Dir, "--providers.file.watch=true",
		// 2 s by default: so long a change of files would wait.
		"--providers.providersthrottleduration=50ms",
		"--api=true", "--api.dashboard=false", "--api.insecure=false",
	}
	for _, s := range p.Sockets {
		entry := "--entrypoints." + s.Name
		args = append(args,
			entry+".address="+s.Address,
			// What Caddy allows, it decides.
			entry+".transport.respondingtimeouts.readtimeout=0s",
			entry+".transport.lifecycle.gracetimeout=600s",
			entry+".http.sanitizepath=false",
			entry+".http.encodequerysemicolons=true", // else they become '&'
		)
	}
	return args
}

// Test lets a Traefik of its own, at other ports, read the files.
func (t *Traefik) Test(ctx context.Context, b front.Binary, p front.Place, _ []*os.File) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	status, err := freeAddress()
	if err != nil {
		return err
	}
	p.Status = status
	sockets := []front.Socket{{Name: "status", Address: status}}
	for _, s := range p.Sockets {
		if s.Name != "status" {
			sockets = append(sockets, front.Socket{Name: s.Name, Address: "127.0.0.1:0"})
		}
	}
	p.Sockets = sockets
	cmd := exec.CommandContext(ctx, b.Path, arguments(p)...)
	cmd.Dir, cmd.Env = p.Work, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.Work}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running %s: %w", b.Path, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed below
	}()
	defer func() {
		cancel()
		<-ended
	}()
	for {
		got, err := read(ctx, p)
		if err == nil && got == p.Generation {
			return nil
		}
		if hop3.CodeOf(err) == hop3.CodeInvalid {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ended:
			return hop3.Errorf(hop3.CodeInvalid, "Traefik refuses its configuration: %s", strings.TrimSpace(out.String()))
		case <-ctx.Done():
			return hop3.Errorf(hop3.CodeInvalid, "Traefik did not take up its configuration: %s", strings.TrimSpace(out.String()))
		}
	}
}

// Reload does nothing: Traefik watches its files.
func (*Traefik) Reload(context.Context, int) error { return nil }

// AcceptsEarly returns true: Traefik answers 404 until it has read its files.
func (*Traefik) AcceptsEarly() bool { return true }

// Quit is the signal on which Traefik finishes its requests and ends.
func (*Traefik) Quit() syscall.Signal { return syscall.SIGTERM }

var api = &http.Client{Timeout: 2 * time.Second}

// Generation asks Traefik's API which files are in effect. When a router of
// them does not work, it returns a CodeInvalid error with Traefik's words.
//
// Traefik takes new files up at one public port after the other, in any order,
// and the API has a port of its own. But it is done with one change before it
// begins the next: so the files are in effect everywhere once the API knows of
// one that was written after it knew of them.
func (*Traefik) Generation(ctx context.Context, p front.Place) (string, error) {
	generation, err := read(ctx, p)
	if err != nil || generation != p.Generation {
		return generation, err
	}
	settled, err := marked(ctx, p, settledPrefix)
	if err != nil || settled == p.Generation {
		return settled, err
	}
	text, err := encode(object{"http": object{"middlewares": mark(settledPrefix, p.Generation)}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(p.Dir, settledFile)
	if have, err := os.ReadFile(file); err == nil && bytes.Equal(have, text) {
		return "", nil // it was told
	}
	return "", front.WriteFile(file, text)
}

// marked asks which generation a middleware of the prefix has in its name; ""
// when there is none.
func marked(ctx context.Context, p front.Place, prefix string) (string, error) {
	var middlewares []struct{ Name string }
	if err := ask(ctx, p, "/api/http/middlewares?search="+prefix, &middlewares); err != nil || len(middlewares) == 0 {
		return "", err
	}
	if len(middlewares) != 1 {
		return "", fmt.Errorf("Traefik knows %d middlewares %s", len(middlewares), prefix)
	}
	name, _, _ := strings.Cut(middlewares[0].Name, "@")
	return strings.TrimPrefix(name, prefix), nil
}

// read asks which files Traefik has read, and whether it could use them.
func read(ctx context.Context, p front.Place) (string, error) {
	generation, err := marked(ctx, p, generationPrefix)
	if err != nil || generation != p.Generation {
		return generation, err
	}
	var broken []struct {
		Name  string
		Error []string
	}
	if err := ask(ctx, p, "/api/http/routers?status=disabled", &broken); err != nil {
		return "", err
	}
	for _, b := range broken {
		return "", hop3.Errorf(hop3.CodeInvalid, "Traefik refuses its configuration: router %s: %s", b.Name, strings.Join(b.Error, "; "))
	}
	return generation, nil
}

// ask reads an answer of the API.
func ask(ctx context.Context, p front.Place, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Status+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set(front.SecretHeader, p.Backend.Secret)
	res, err := api.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New("Traefik's API answers " + res.Status)
	}
	return json.Unmarshal(text, into)
}
