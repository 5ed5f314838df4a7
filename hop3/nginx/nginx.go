// Package nginx puts nginx in front of the server: an nginx of its own, that
// works by files below the home and gets the public sockets from us.
package nginx

import (
	"bytes"
	"context"
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

func init() { caddy.RegisterModule((*Nginx)(nil)) }

// Nginx is the program nginx, 1.19.4 or later.
type Nginx struct{}

var (
	_ caddy.Module  = (*Nginx)(nil)
	_ front.Program = (*Nginx)(nil)
)

// CaddyModule describes the module.
func (*Nginx) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.proxies.nginx", New: func() caddy.Module { return new(Nginx) }}
}

// Name returns "nginx".
func (*Nginx) Name() string { return "nginx" }

var versionLine = regexp.MustCompile(`nginx/(\d+)\.(\d+)\.(\d+)`)

// Find looks for nginx in PATH and where distributions put it.
func (*Nginx) Find(ctx context.Context) (front.Binary, error) {
	path, err := exec.LookPath("nginx")
	for _, other := range []string{"/usr/sbin/nginx", "/usr/local/sbin/nginx"} {
		if err != nil {
			path, err = exec.LookPath(other)
		}
	}
	if err != nil {
		return front.Binary{}, hop3.Errorf(hop3.CodeUnavailable, "nginx is not installed on the server.").
			WithHint("On Debian and Ubuntu: sudo apt-get install nginx-light && sudo systemctl disable --now nginx")
	}
	out, err := exec.CommandContext(ctx, path, "-V").CombinedOutput()
	if err != nil {
		return front.Binary{}, hop3.Errorf(hop3.CodeUnavailable, "%s -V: %w", path, err)
	}
	found := versionLine.FindStringSubmatch(string(out))
	if found == nil {
		return front.Binary{}, hop3.Errorf(hop3.CodeUnavailable, "%s does not say which nginx it is", path)
	}
	b := front.Binary{Path: path, Version: strings.TrimPrefix(found[0], "nginx/")}
	var major, minor, patch int
	if _, err := fmt.Sscanf(b.Version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return b, err
	}
	if major*1_000_000+minor*1000+patch < 1_019_004 {
		return b, hop3.Errorf(hop3.CodeUnavailable, "%s is nginx %s; Hop3 needs 1.19.4 or later", path, b.Version)
	}
	for _, module := range []string{"http_ssl_module", "http_v2_module"} {
		if !bytes.Contains(out, []byte(module)) {
			return b, hop3.Errorf(hop3.CodeUnavailable, "%s was built without its %s", path, module)
		}
	}
	return b, nil
}

// Refuses names what does not work behind nginx: it passes requests on as
// HTTP/1.1.
func (*Nginx) Refuses(r hop3.Route) []string {
	if r.Policy != nil && r.Policy.Upstream == hop3.UpstreamH2C {
		return []string{`[http] upstream = "h2c"`}
	}
	return nil
}

// Test runs nginx -t.
func (n *Nginx) Test(ctx context.Context, b front.Binary, p front.Place, sockets []*os.File) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.Path, "-t", "-q", "-p", p.Work, "-e", "stderr", "-c", filepath.Join(p.Dir, mainFile))
	cmd.Env, cmd.ExtraFiles = environment(sockets), sockets
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("running %s -t: %w", b.Path, err)
	}
	return hop3.Errorf(hop3.CodeInvalid, "nginx refuses its configuration: %s", explain(string(out), p))
}

// processPrefix is what nginx writes before its words: a process and a thread.
var processPrefix = regexp.MustCompile(`^\d+#\d+: `)

// explain keeps of nginx's words what is wrong, in the files by their own
// names and not those of the test.
func explain(out string, p front.Place) string {
	var lines []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "[emerg]") || strings.Contains(line, "[alert]") || strings.Contains(line, "[crit]") {
			_, text, _ := strings.Cut(line, "] ")
			text = processPrefix.ReplaceAllString(text, "")
			lines = append(lines, strings.TrimSpace(strings.ReplaceAll(text, p.Dir+"/", filepath.Join(filepath.Dir(filepath.Dir(p.Work)), "nginx")+"/")))
		}
	}
	if lines == nil {
		return strings.TrimSpace(out)
	}
	return strings.Join(lines, "; ")
}

// Command starts nginx.
func (n *Nginx) Command(b front.Binary, p front.Place) *exec.Cmd {
	cmd := exec.Command(b.Path, "-p", p.Work, "-e", filepath.Join(p.Work, "error.log"), "-c", filepath.Join(p.Dir, mainFile))
	cmd.Env = environment(make([]*os.File, len(p.Sockets)))
	return cmd
}

// environment tells nginx which descriptors are listening sockets. It is how
// an nginx hands them to the one that replaces it (ngx_add_inherited_sockets).
func environment(sockets []*os.File) []string {
	var fds strings.Builder
	for i := range sockets {
		fmt.Fprintf(&fds, "%d;", 3+i)
	}
	return []string{"PATH=" + os.Getenv("PATH"), "NGINX=" + fds.String()}
}

// Quit is the signal on which nginx finishes its requests and ends.
func (*Nginx) Quit() syscall.Signal { return syscall.SIGQUIT }

// status asks a new connection each time: an old one is an old worker's.
var status = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// Generation asks the workers by which files they work.
func (*Nginx) Generation(ctx context.Context, p front.Place) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Status+"/", nil)
	if err != nil {
		return "", err
	}
	res, err := status.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1000))
	return string(text), err
}
