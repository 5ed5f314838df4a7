package addons

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/abilian/hop3/hop3"
)

// The keys of the details that all databases have.
const (
	detailService  = "service" // Hop3's own that it is in; "" on a configured server
	detailHost     = "host"
	detailPort     = "port"
	detailUser     = "user"
	detailPassword = "password"
)

// checkAddon refuses what no provider without options can make: names that
// are none, and options.
func checkAddon(a hop3.Addon) error {
	if err := hop3.ValidateAddonName(a.Name); err != nil {
		return err
	}
	for name := range a.Options {
		return hop3.Errorf(hop3.CodeInvalid, "an addon of the type %s has no option %.80q", a.Type, name).
			WithHint("It has none at all: leave it out.")
	}
	return nil
}

// serviceName is the name of the service of one addon. Names of addons may
// have characters that those of services have not; those that do get an end
// that keeps them apart.
func serviceName(kind, addon string) string {
	const most = 63
	name := kind + "-" + strings.ReplaceAll(strings.ToLower(addon), "_", "-")
	if name != kind+"-"+addon || len(name) > most {
		name = strings.TrimRight(name[:min(len(name), most-9)], "-") + "-" + digest(addon)
	}
	return name
}

// digest is a short text that differs where names do.
func digest(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:4])
}

// services returns those of the server, which may run none.
func services(s hop3.AddonServer, kind, setting string) (hop3.Services, error) {
	if own := s.Services(); own != nil {
		return own, nil
	}
	return nil, hop3.Errorf(hop3.CodeUnavailable, "this server runs no %s of its own", kind).
		WithHint("The admin sets %s to the address of one.", setting)
}

// rest ends a service that addons share, unless one of them is in it.
func rest(ctx context.Context, s hop3.AddonServer, service string, addons []hop3.Addon) error {
	for _, a := range addons {
		for _, details := range []hop3.AddonDetails{a.Details, a.Next, a.Last} {
			if details[detailService] == service {
				return nil
			}
		}
	}
	own := s.Services()
	if own == nil {
		return nil
	}
	return own.Stop(ctx, service)
}

// takenPatience is how long another program may hold the port of a service until
// it is given up: what is left of a service that was killed soon lets go.
const takenPatience = 3 * time.Second

// taken says since when another program holds the port of a service.
type taken struct{ since time.Time }

// lasts reports whether an attempt failed for that, and has for too long.
func (t *taken) lasts(err error) bool {
	if hop3.CodeOf(err) != hop3.CodeConflict {
		t.since = time.Time{}
		return false
	}
	if t.since.IsZero() {
		t.since = time.Now()
	}
	return time.Since(t.since) > takenPatience
}

// dialService connects to a service of Hop3's own, once it is known that it is
// this that listens there: what is said next may be a password.
func dialService(s hop3.AddonServer, service string, port int) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if err := s.Services().Listens(ctx, service, port); err != nil {
			return nil, err
		}
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	}
}

// serviceFiles are the files that Hop3 keeps in the directory of a service,
// which belongs to the service's user: nothing in it is trusted to be what it
// was, nor to stay inside.
type serviceFiles struct {
	root     *os.Root
	uid, gid int // of the service
}

func openServiceFiles(dir hop3.ServiceDir) (*serviceFiles, error) {
	root, err := os.OpenRoot(dir.Data)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	f := &serviceFiles{root: root, uid: -1, gid: -1}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		f.uid, f.gid = int(stat.Uid), int(stat.Gid)
	}
	return f, nil
}

func (f *serviceFiles) close() { _ = f.root.Close() }

// read returns a file, nil when there is none.
func (f *serviceFiles) read(name string) ([]byte, error) {
	b, err := f.root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// write replaces a file at once, readable by the service's user alone.
func (f *serviceFiles) write(name string, content []byte) error {
	next := name + ".next"
	if err := f.root.RemoveAll(next); err != nil {
		return err
	}
	out, err := f.root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(content)
	if err == nil && f.uid >= 0 {
		err = out.Chown(f.uid, f.gid)
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return f.root.Rename(next, name)
}

// until calls try until it has no error that again accepts, or the time of the
// context, and at most limit, is over.
func until(ctx context.Context, limit time.Duration, try func(context.Context) error, again func(error) bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		err := try(ctx)
		if err == nil || !again(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// program finds a program that Debian keeps where not all users look.
func program(names ...string) string {
	path := append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin")
	for _, name := range names {
		for _, dir := range path {
			file := filepath.Join(dir, name)
			if info, err := os.Stat(file); err == nil && filepath.IsAbs(dir) && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return file
			}
		}
	}
	return ""
}

// hostForApps is a host as apps are told of it: some resolve localhost to an
// address that databases do not listen on.
func hostForApps(host string) string {
	if host == "localhost" || strings.HasPrefix(host, "/") {
		return "127.0.0.1"
	}
	return host
}

// unavailable is the error of a service that cannot be used, caused by err.
func unavailable(err error, message, hint string) error {
	e := hop3.Errorf(hop3.CodeUnavailable, "%s", message).WithHint("%s", hint)
	e.Err = err
	return e
}

// handedOut keeps apart what plans have settled, and is not made yet: ports,
// databases. What is forgotten with it is found by Create to be taken.
type handedOut map[string]time.Time

// take reports whether what was free, and has it be so no more for an hour.
func (h handedOut) take(what string) bool {
	for key, at := range h {
		if time.Since(at) > time.Hour {
			delete(h, key)
		}
	}
	if _, taken := h[what]; taken {
		return false
	}
	h[what] = time.Now()
	return true
}

// freePort returns a port that nothing listens on and no plan has settled.
func (h handedOut) freePort(s hop3.Services) (string, error) {
	for range 100 {
		port, err := s.FreePort()
		if err != nil {
			return "", err
		}
		if text := strconv.Itoa(port); h.take(text) {
			return text, nil
		}
	}
	return "", hop3.Errorf(hop3.CodeUnavailable, "no port is free for another service").
		WithHint("Destroy addons that nobody uses.")
}

func (h handedOut) has(what string) bool {
	_, ok := h[what]
	return ok
}

func (h handedOut) forget(what ...string) {
	for _, w := range what {
		delete(h, w)
	}
}

// serverFact says where the server of an addon is, and whose it is: service is
// "" for one that the admin configured, shared the service that all addons of
// the type share.
func serverFact(address, service, shared string) hop3.AddonFact {
	whose := "run by Hop3 for this addon alone"
	switch service {
	case "":
		whose = "configured by the admin"
	case shared:
		whose = "run by Hop3 for all addons"
	}
	return hop3.AddonFact{Property: "Server", Value: address + ", " + whose}
}
