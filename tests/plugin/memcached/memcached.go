// Package memcached is an addon from outside of Hop3's own tree: a cache, as a
// memcached of its own for each addon. It shows all that a plug-in needs;
// `xcaddy build --with` puts it into a Hop3.
package memcached

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Memcached))
}

// Memcached runs a memcached for each addon, as a service of the server's.
type Memcached struct {
	// How many megabytes a cache holds where the addon does not say. Default: 64.
	Memory int `json:"memory,omitempty"`

	server hop3.AddonServer
}

// CaddyModule describes the module.
func (*Memcached) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.addons.memcached", New: func() caddy.Module { return new(Memcached) }}
}

// Name returns "memcached".
func (*Memcached) Name() string { return "memcached" }

// Open keeps the server.
func (m *Memcached) Open(s hop3.AddonServer) error {
	m.server = s
	return nil
}

// Plan settles port, user and password. Of its options it knows memory.
func (m *Memcached) Plan(_ context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	memory := strconv.Itoa(max(m.Memory, 64))
	for option, values := range a.Options {
		if option != "memory" || len(values) != 1 {
			return nil, hop3.Errorf(hop3.CodeInvalid, "a memcached has no option %q; it has memory, in megabytes", option)
		}
		if n, err := strconv.Atoi(values[0]); err != nil || n < 1 || n > 1<<20 {
			return nil, hop3.Errorf(hop3.CodeInvalid, "memory is a number of megabytes, not %.20q", values[0])
		}
		memory = values[0]
	}
	if _, err := program(); err != nil {
		return nil, err
	}
	port, err := m.server.Services().FreePort()
	if err != nil {
		return nil, err
	}
	return hop3.AddonDetails{
		"service": serviceName(a.Name), "port": strconv.Itoa(port), "user": "app", "password": rand.Text(), "memory": memory,
	}, nil
}

func program() (string, error) {
	path, err := exec.LookPath("memcached")
	if err != nil {
		return "", hop3.Errorf(hop3.CodeUnavailable, "memcached is not installed on the server").WithHint("Debian and Ubuntu have the package memcached.")
	}
	return path, nil
}

var plainName = regexp.MustCompile(`^[a-z0-9-]{0,39}[a-z0-9]$`)

// serviceName is another one for each addon, also where only case or a '_' tell
// their names apart.
func serviceName(name string) string {
	if plainName.MatchString(name) {
		return "memcached-of-" + name
	}
	return fmt.Sprintf("memcached-%x", sha256.Sum256([]byte(name)))[:40]
}

// Create starts the service and waits until it answers.
func (m *Memcached) Create(ctx context.Context, a hop3.Addon) error {
	path, err := program()
	if err != nil {
		return err
	}
	dir, err := m.server.Services().Prepare(ctx, a.Details["service"])
	if err != nil {
		return err
	}
	// The password is in a file that only the service's user can read: everybody
	// can see the arguments of a process.
	passwords := filepath.Join(dir.Data, "passwords")
	if err := writeFor(dir.Data, passwords, a.Details["user"]+":"+a.Details["password"]+"\n"); err != nil {
		return err
	}
	args := []string{path, "-l", "127.0.0.1", "-p", a.Details["port"], "-U", "0", "-m", a.Details["memory"], "-Y", passwords}
	if dir.User == "" && os.Geteuid() == 0 { // as root it wants to be told
		if root, err := user.Current(); err == nil {
			args = append(args, "-u", root.Username)
		}
	}
	if err := m.server.Services().Start(ctx, hop3.Service{Name: a.Details["service"], Args: args}); err != nil {
		return err
	}
	for {
		conn, err := dial(ctx, a)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// writeFor writes a file for whoever a directory belongs to, whole or not at
// all.
func writeFor(dir, file, text string) error {
	owner, err := os.Stat(dir)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "new-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if of, ok := owner.Sys().(*syscall.Stat_t); ok {
		err = errors.Join(err, f.Chown(int(of.Uid), int(of.Gid)))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// Destroy ends the service.
func (m *Memcached) Destroy(ctx context.Context, a hop3.Addon) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return m.server.Services().Remove(ctx, a.Details["service"])
}

// Variables are the address and the login, apart and as a URL.
func (m *Memcached) Variables(a hop3.Addon) hop3.Env {
	e := m.Endpoint(a)
	return hop3.Env{
		"MEMCACHED_URL": e.URL, "MEMCACHED_SERVERS": net.JoinHostPort(e.Host, strconv.Itoa(e.Port)),
		"MEMCACHED_USERNAME": a.Details["user"], "MEMCACHED_PASSWORD": a.Details["password"],
	}
}

// Endpoint is the service's port.
func (*Memcached) Endpoint(a hop3.Addon) hop3.AddonEndpoint {
	port, _ := strconv.Atoi(a.Details["port"])
	u := url.URL{Scheme: "memcached", User: url.UserPassword(a.Details["user"], a.Details["password"]), Host: net.JoinHostPort("127.0.0.1", a.Details["port"])}
	return hop3.AddonEndpoint{Host: "127.0.0.1", Port: port, URL: u.String()}
}

// Status logs in and asks.
func (m *Memcached) Status(ctx context.Context, a hop3.Addon) ([]hop3.AddonFact, error) {
	stats, err := stats(ctx, a)
	if err != nil {
		return nil, err
	}
	var facts []hop3.AddonFact
	for _, stat := range [][2]string{{"version", "Version"}, {"curr_items", "Items"}, {"bytes", "Bytes used"}, {"limit_maxbytes", "Bytes at most"}} {
		facts = append(facts, hop3.AddonFact{Property: stat[1], Value: stats[stat[0]]})
	}
	return facts, nil
}

// Actions are `hop3 addon memcached flush` and `stats`.
func (m *Memcached) Actions() []hop3.AddonAction {
	return []hop3.AddonAction{
		{Name: "flush", Summary: "Forget all that the cache holds", Changes: true, Destroys: true, Run: flush},
		{Name: "stats", Summary: "Show what memcached counts", Run: func(ctx context.Context, a hop3.Addon, _ []string) (hop3.AddonReport, error) {
			counted, err := stats(ctx, a)
			report := hop3.AddonReport{Headers: []string{"Name", "Value"}}
			for name, value := range counted {
				report.Rows = append(report.Rows, []string{name, value})
			}
			slices.SortFunc(report.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
			return report, err
		}},
	}
}

func flush(ctx context.Context, a hop3.Addon, _ []string) (hop3.AddonReport, error) {
	conn, err := login(ctx, a)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	defer conn.Close()
	answer, err := conn.ask("flush_all")
	if err == nil && answer != "OK" {
		err = fmt.Errorf("memcached: %s", answer)
	}
	return hop3.AddonReport{Text: "The cache is empty."}, err
}

func stats(ctx context.Context, a hop3.Addon) (map[string]string, error) {
	conn, err := login(ctx, a)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	all := map[string]string{}
	for line, err := conn.ask("stats"); line != "END"; line, err = conn.line() {
		if err != nil {
			return nil, err
		}
		if words := strings.SplitN(line, " ", 3); len(words) == 3 {
			all[words[1]] = words[2]
		}
	}
	return all, nil
}

// connection is one to a memcached, in its text protocol:
// https://github.com/memcached/memcached/blob/master/doc/protocol.txt.
type connection struct {
	net.Conn
	from *bufio.Reader
}

func dial(ctx context.Context, a hop3.Addon) (*connection, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", a.Details["port"]))
	if err != nil {
		return nil, err
	}
	return &connection{conn, bufio.NewReader(conn)}, conn.SetDeadline(time.Now().Add(10 * time.Second))
}

// login opens a connection that may do something.
func login(ctx context.Context, a hop3.Addon) (*connection, error) {
	conn, err := dial(ctx, a)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "the cache %s does not answer: %w", a.Name, err).WithHint("The log of the service %s says why.", a.Details["service"])
	}
	proof := a.Details["user"] + " " + a.Details["password"]
	answer, err := conn.ask(fmt.Sprintf("set login 0 0 %d\r\n%s", len(proof), proof))
	if err == nil && answer != "STORED" {
		err = errors.New(answer)
	}
	if err != nil {
		conn.Close()
		return nil, hop3.Errorf(hop3.CodeUnavailable, "the cache %s refuses its password: %w", a.Name, err).WithHint("Destroy it and make it again.")
	}
	return conn, nil
}

// ask sends a command and returns the first line of the answer.
func (c *connection) ask(command string) (string, error) {
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return "", err
	}
	return c.line()
}

func (c *connection) line() (string, error) {
	line, err := c.from.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

var (
	_ hop3.AddonProvider = (*Memcached)(nil)
	_ hop3.AddonActions  = (*Memcached)(nil)
)
