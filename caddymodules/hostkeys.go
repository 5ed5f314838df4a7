package caddymodules

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/platform"
)

// SSHRequest asks for a way to the SSH server as one of its users.
type SSHRequest struct {
	User string `json:"user"` // "" for the first administrator
	Key  string `json:"key"`  // a line of authorized_keys
}

// SSHAnswer answers an SSHRequest.
type SSHAnswer struct {
	User    string `json:"user,omitempty"`
	Address string `json:"address,omitempty"` // host:port, on this host
	Error   string `json:"error,omitempty"`
}

// hostKeyLife is how long a key of the host's may open sessions.
const hostKeyLife = time.Minute

// hostKeys are keys that host commands made for one session: who may reach the
// host's socket may be any user. The zero value is ready, and safe for
// concurrent use.
type hostKeys struct {
	mu      sync.Mutex
	granted map[string]grantedKey // by fingerprint
}

type grantedKey struct {
	user  string
	until time.Time
}

func (k *hostKeys) grant(fingerprint, user string, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.granted == nil {
		k.granted = map[string]grantedKey{}
	}
	for old, g := range k.granted {
		if now.After(g.until) {
			delete(k.granted, old)
		}
	}
	k.granted[fingerprint] = grantedKey{user, now.Add(hostKeyLife)}
}

// user returns whose session a key may open, "" for nobody's.
func (k *hostKeys) user(fingerprint string, now time.Time) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	g, ok := k.granted[fingerprint]
	if !ok || now.After(g.until) {
		return ""
	}
	return g.user
}

// users tells sshd who a key belongs to.
type users struct {
	platform *platform.Platform
	host     *hostKeys
}

func (u users) UserByKey(ctx context.Context, fingerprint string) (hop3.User, error) {
	if name := u.host.user(fingerprint, time.Now()); name != "" {
		return u.platform.Store.User(ctx, name)
	}
	return u.platform.AuthenticateKey(ctx, fingerprint)
}

// grantSSH answers an SSHRequest.
func (c *core) grantSSH(w http.ResponseWriter, r *http.Request) {
	var request SSHRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&request); err != nil {
		writeAnswer(w, http.StatusBadRequest, SSHAnswer{Error: err.Error()})
		return
	}
	key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(request.Key))
	if err != nil {
		writeAnswer(w, http.StatusBadRequest, SSHAnswer{Error: err.Error()})
		return
	}
	address := c.sshAddress.Load()
	if address == nil {
		writeAnswer(w, http.StatusServiceUnavailable, SSHAnswer{Error: "the server does not serve SSH"})
		return
	}
	name, err := c.sshUser(r.Context(), request.User)
	if err != nil {
		writeAnswer(w, http.StatusNotFound, SSHAnswer{Error: hop3.MessageOf(err)})
		return
	}
	c.hostKeys.grant(gossh.FingerprintSHA256(key), name, time.Now())
	writeAnswer(w, http.StatusOK, SSHAnswer{User: name, Address: *address})
}

// sshUser returns the user of that name, or the first administrator.
func (c *core) sshUser(ctx context.Context, name string) (string, error) {
	if name != "" {
		user, err := c.Platform.Store.User(ctx, name)
		return user.Username, err
	}
	all, err := c.Platform.Store.Users(ctx)
	if err != nil {
		return "", err
	}
	for _, user := range all {
		if user.Admin && user.Active {
			return user.Username, nil
		}
	}
	return "", hop3.Errorf(hop3.CodeNotFound, "there is no administrator yet: hop3-server admin:create makes one")
}

// loopback is how this host reaches a listener.
func loopback(address net.Addr) string {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return ""
	}
	reached := *tcp
	if reached.IP.IsUnspecified() {
		reached.IP = net.IPv4(127, 0, 0, 1)
	}
	return reached.String()
}
