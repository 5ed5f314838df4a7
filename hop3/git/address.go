package git

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/abilian/hop3/hop3"
)

// remote is a repository elsewhere, as git is told of it: by an address that
// was looked at before and that a name server cannot change any more.
type remote struct {
	url  string
	args []string // -c settings
	env  []string // settings that are secrets
}

const (
	maxRedirects  = 5
	answerTimeout = 30 * time.Second
)

// locate finds out where an address leads to: it resolves the name, follows
// redirects, and refuses what is not on the public Internet unless the server
// allows that: an address from a user must not reach what only this machine can.
func (r *Repositories) locate(ctx context.Context, address string) (remote, error) {
	if err := hop3.ValidateRepoURL(address); err != nil {
		return remote{}, err
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "ssh" {
		return remote{}, hop3.Errorf(hop3.CodeInvalid, "%s cannot be fetched: this server has no SSH key of its own", hop3.RedactRepoURL(address)).
			WithHint("Use the https address. That of a private repository may have a token in it: https://TOKEN@example.com/team/app.git.")
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if u.Scheme == "git" {
		return r.locateGit(ctx, u)
	}
	return r.locateHTTP(ctx, u)
}

func (r *Repositories) locateGit(ctx context.Context, u *url.URL) (remote, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return remote{}, unreachable(u, err)
	}
	for _, addr := range addrs {
		if err := r.allowed(addr); err != nil {
			return remote{}, unreachable(u, err)
		}
	}
	port := u.Port()
	if port == "" {
		port = "9418"
	}
	return remote{url: "git://" + net.JoinHostPort(addrs[0].Unmap().String(), port) + u.EscapedPath()}, nil
}

// locateHTTP asks for the repository as git will, and has git ask the same
// address of the same host.
func (r *Repositories) locateHTTP(ctx context.Context, u *url.URL) (remote, error) {
	var peer net.Addr
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { peer = c.Conn.RemoteAddr() }}
	ask := *u
	ask.User, ask.RawQuery = nil, "service=git-upload-pack"
	ask.Path = strings.TrimRight(u.Path, "/") + "/info/refs"
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, ask.String(), nil)
	if err != nil {
		return remote{}, hop3.Errorf(hop3.CodeInvalid, "%s cannot be asked: %w", hop3.RedactRepoURL(u.String()), err)
	}
	req.Header.Set("User-Agent", "git/hop3")
	if u.User != nil {
		req.Header.Set("Authorization", basic(u.User)) // the client drops it when another host is redirected to
	}
	resp, err := r.prober().Do(req)
	if err != nil {
		return remote{}, unreachable(u, err)
	}
	defer resp.Body.Close()
	where := resp.Request.URL
	path, isRepository := strings.CutSuffix(where.Path, "/info/refs")
	switch {
	case resp.StatusCode != http.StatusOK:
		return remote{}, hop3.Errorf(hop3.CodeInvalid, "%s is no repository that can be read: %s answers %s", hop3.RedactRepoURL(u.String()), where.Host, resp.Status).
			WithHint("The address of a private one may have a token in it: https://TOKEN@example.com/team/app.git.")
	case !isRepository:
		return remote{}, hop3.Errorf(hop3.CodeInvalid, "%s is no repository: it redirects to %s", hop3.RedactRepoURL(u.String()), where.Redacted())
	}
	found := remote{
		url:  (&url.URL{Scheme: where.Scheme, Host: where.Host, Path: path}).String(),
		args: configArgs("http.curloptResolve=" + pin(where, peer)),
	}
	if u.User != nil && where.Host == u.Host && where.Scheme == u.Scheme {
		// In the environment, which only our own user can read.
		found.env = []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: " + basic(u.User)}
	}
	return found, nil
}

// prober is the client that looks before git does. It connects to nothing that
// is not allowed, whatever name or redirect leads there.
func (r *Repositories) prober() *http.Client {
	dialer := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		where, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return r.allowed(where.Addr())
	}}
	return &http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, ResponseHeaderTimeout: answerTimeout, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			switch {
			case len(via) > maxRedirects:
				return errors.New("it redirects too often")
			case via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https", req.URL.Scheme != "http" && req.URL.Scheme != "https":
				return fmt.Errorf("it redirects to %s, which is not safe", req.URL.Redacted())
			}
			return nil
		},
	}
}

// pin is the setting with which git connects to the address that was looked at.
func pin(where *url.URL, peer net.Addr) string {
	port := where.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[where.Scheme]
	}
	host, _, err := net.SplitHostPort(peer.String())
	if err != nil {
		host = peer.String()
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return where.Hostname() + ":" + port + ":" + host
}

func basic(user *url.Userinfo) string {
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
}

func unreachable(u *url.URL, err error) error {
	why := err
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		why = wrapped.Err // without the address, which may have a password
	}
	var private *privateError
	if errors.As(err, &private) {
		return hop3.Errorf(hop3.CodeForbidden, "%s may not be fetched: %w", hop3.RedactRepoURL(u.String()), private).
			WithHint("The server's setting CLONE_ALLOW_PRIVATE allows addresses of its own network.")
	}
	return hop3.Errorf(hop3.CodeInvalid, "%s cannot be reached: %w", hop3.RedactRepoURL(u.String()), why)
}

// privateError says that an address is not one of the public Internet.
type privateError struct{ addr netip.Addr }

func (e *privateError) Error() string {
	return fmt.Sprintf("%s is not an address of the public Internet", e.addr)
}

func (r *Repositories) allowed(addr netip.Addr) error {
	if r.cfg.AllowPrivate || public(addr) {
		return nil
	}
	return &privateError{addr}
}

// special are the networks that netip does not know by name: those of RFC 6890
// that lead to private ones, or nowhere.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
	netip.MustParsePrefix("::/96"),           // any IPv4 address, deprecated
	netip.MustParsePrefix("64:ff9b::/96"),    // NAT64: any IPv4 address
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"),     // Teredo and others
	netip.MustParsePrefix("2001:db8::/32"), // documentation
	netip.MustParsePrefix("2002::/16"),     // 6to4: any IPv4 address
	netip.MustParsePrefix("fec0::/10"),     // site-local
}

// public reports whether an address is one of the public Internet.
func public(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}
