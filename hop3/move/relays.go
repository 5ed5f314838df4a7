package move

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

// Relays pass the requests of apps that moved on to the servers that they moved
// to. Whichever program is the proxy takes them for instances of the apps. It is
// safe for concurrent use.
type Relays struct {
	dir       string // of the sockets
	transport http.RoundTripper
	logger    *slog.Logger

	mu   sync.Mutex
	apps map[string]*relay
}

// NewRelays returns relays whose sockets are in a directory, which is theirs.
func NewRelays(dir string, logger *slog.Logger) *Relays {
	return &Relays{dir: dir, transport: newTransport(), logger: logger, apps: map[string]*relay{}}
}

// relay is that of one app.
type relay struct {
	target   atomic.Pointer[target]
	upstream string
	server   *http.Server
	done     chan struct{}
}

type target struct {
	hop3.RelayTarget
	url *url.URL
}

// Open implements platform.Relays.
func (r *Relays) Open(app string, t hop3.RelayTarget) (upstream string, err error) {
	u, err := url.Parse(t.Server)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.apps[app]
	if one == nil {
		if one, err = r.listen(); err != nil {
			return "", err
		}
		r.apps[app] = one
	}
	one.target.Store(&target{t, u})
	return one.upstream, nil
}

// listen opens a socket under a name that nobody can guess: other apps must not
// speak to the other server in our name, and a proxy that is another user must.
func (r *Relays) listen() (*relay, error) {
	if err := os.MkdirAll(r.dir, 0o711); err != nil {
		return nil, fmt.Errorf("making the directory of relays: %w", err)
	}
	if err := os.Chmod(r.dir, 0o711); err != nil {
		return nil, err
	}
	var name [8]byte
	_, _ = rand.Read(name[:]) // never fails
	path := filepath.Join(r.dir, hex.EncodeToString(name[:])+".sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening a relay: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	one := &relay{upstream: "unix/" + path, done: make(chan struct{})}
	one.server = &http.Server{
		Handler: &httputil.ReverseProxy{
			Rewrite:       one.rewrite,
			Transport:     r.transport,
			FlushInterval: -1,
			ErrorHandler:  r.failed,
			ErrorLog:      slog.NewLogLogger(r.logger.Handler(), slog.LevelDebug),
		},
		ReadHeaderTimeout: time.Minute,
	}
	go func() {
		defer close(one.done)
		if err := one.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			r.logger.Error("a relay ended", "err", err)
		}
	}()
	return one, nil
}

// rewrite makes a request one for the other server. What our own proxy says of
// the client stays.
func (o *relay) rewrite(pr *httputil.ProxyRequest) {
	t := o.target.Load()
	pr.Out.URL.Scheme, pr.Out.URL.Host = t.url.Scheme, t.url.Host
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"} {
		if values := pr.In.Header[name]; len(values) > 0 {
			pr.Out.Header[name] = values
		}
	}
	host := pr.In.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if len(t.Hosts) > 0 && !serves(t.Hosts, host) {
		if pr.Out.Header.Get("X-Forwarded-Host") == "" {
			pr.Out.Header.Set("X-Forwarded-Host", pr.In.Host)
		}
		host = t.Hosts[0]
	}
	pr.Out.Host = host
	pr.Out.Header.Set(api.MoveRelayHeader, t.Secret)
}

// serves reports whether hosts have one, itself or a wildcard over it.
func serves(hosts []string, host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	return slices.Contains(hosts, host) || parent != "" && slices.Contains(hosts, "*."+parent)
}

func (r *Relays) failed(w http.ResponseWriter, req *http.Request, err error) {
	if req.Context().Err() == nil {
		r.logger.Warn("a request could not be passed on", "host", req.Host, "err", err)
	}
	w.Header().Set("Retry-After", "5")
	http.Error(w, "This site has moved to another server, which does not answer.", http.StatusBadGateway)
}

// Close implements platform.Relays.
func (r *Relays) Close(app string) {
	r.mu.Lock()
	one := r.apps[app]
	delete(r.apps, app)
	r.mu.Unlock()
	if one != nil {
		_ = one.server.Close() // what is under way is nobody's any more
		<-one.done
	}
}

// Shutdown ends all relays once their requests are done, or ctx is.
func (r *Relays) Shutdown(ctx context.Context) {
	r.mu.Lock()
	apps := r.apps
	r.apps = map[string]*relay{}
	r.mu.Unlock()
	for _, one := range apps {
		if one.server.Shutdown(ctx) != nil {
			_ = one.server.Close()
		}
		<-one.done
	}
}

// Sweep removes the sockets of an earlier server; those that are open stay.
func (r *Relays) Sweep() error {
	names, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, n := range names {
		c, dialErr := net.Dial("unix", filepath.Join(r.dir, n.Name()))
		if dialErr == nil {
			err = errors.Join(err, c.Close())
			continue
		}
		err = errors.Join(err, os.Remove(filepath.Join(r.dir, n.Name())))
	}
	return err
}
